"""The arguments and options that the `sweeps` commands share."""

from pathlib import Path
from typing import Annotated

import typer

Output = Annotated[
    Path,
    typer.Option(
        "--output-dir", "-o", help="the folder that `surgery` wrote to", callback=lambda path: path.expanduser()
    ),
]
Name = Annotated[str, typer.Argument(help="the sweep, as `sweeps list` names it")]
Cell = Annotated[str, typer.Argument(help="the cell's id, or its first characters")]

Protocol = Annotated[
    str, typer.Option("--protocol", help="only the cells measured in this way: the hash in their records, or its start")
]
