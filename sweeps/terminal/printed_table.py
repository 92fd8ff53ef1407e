"""A table for a terminal, or as Markdown for a text file."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_table(table: "Table", to: "Console", markdown: bool = False) -> None:
    """Prints it; as Markdown without the lines of blanks that rich has for edges, since those end a table."""
    from rich import box

    table.box = box.MARKDOWN if markdown else box.HEAVY_HEAD
    if not markdown:
        to.print(table)
        return
    with to.capture() as printed:
        to.print(table)
    lines = [line.rstrip() for line in printed.get().splitlines()]
    to.print("\n".join(lines).strip("\n"), markup=False, highlight=False, soft_wrap=True)
