"""The arguments and options that the `sweeps` commands share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sweeps.records.choice import Choice
from sweeps.records.record import cell_folders, sweep_folders
from sweeps.results.cell_selector import BEST


def complete_sweep(context: typer.Context, incomplete: str) -> list[str]:
    """The sweeps whose name begins so, for the shell."""
    there = [folder.name for folder in sweep_folders(_runs(context))]
    return [name for name in there if name.startswith(incomplete)]


def _complete_cell(context: typer.Context, incomplete: str) -> list[str]:
    """`best`, and the cells of the sweep whose id begins so, for the shell."""
    there = [BEST, *(folder.name for folder in cell_folders(_runs(context) / str(context.params.get("name", ""))))]
    return [name for name in there if name.startswith(incomplete)]


def _runs(context: typer.Context) -> Path:
    return Path(context.params.get("output_dir") or "outputs").expanduser() / "runs"


Output = Annotated[
    Path,
    typer.Option(
        "--output-dir", "-o", help="the folder that `surgery` wrote to", callback=lambda path: path.expanduser()
    ),
]
Name = Annotated[str, typer.Argument(help="the sweep, as `sweeps list` names it", autocompletion=complete_sweep)]
Cell = Annotated[
    str,
    typer.Argument(
        help="the cell: its id or how that begins, best, or alpha=3,top_k=48 say", autocompletion=_complete_cell
    ),
]

Protocol = Annotated[
    str, typer.Option("--protocol", help="only the cells measured in this way: the hash in their records, or its start")
]
Minimize = Annotated[str, typer.Option(help="the metric to have low")]
Maximize = Annotated[str, typer.Option(help="the metric to have high")]
Csv = Annotated[Path | None, typer.Option("--csv", help="write the rows to this file too")]
Latex = Annotated[Path | None, typer.Option("--latex", help="write a LaTeX tabular to this file too")]
Markdown = Annotated[bool, typer.Option("--markdown", help="a table for a text file")]


def rule_given(minimize: str, maximize: str, where: Sequence[str] | None = None) -> Choice | None:
    """The rule that a command names; None where it names none. Raises InputError for half of one, or both."""
    rule = {"minimize": minimize, "maximize": maximize, "where": where}
    given = {key: value for key, value in rule.items() if value}
    return Choice.parse(given) if given else None
