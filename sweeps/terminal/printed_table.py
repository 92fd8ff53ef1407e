"""A table for a terminal, or as Markdown for a text file."""

from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_table(table: "Table", to: "Console", markdown: bool = False) -> None:
    """Prints it; in a narrow terminal words that have no room are broken, and none is cut.

    As Markdown every row is one line, however long, without the lines of blanks that rich has for edges, since those
    end a table.
    """
    from rich import box
    from rich.console import Console

    for column in table.columns:
        column.overflow = "fold"
    if not markdown:
        to.print(table)
        return
    table.box = box.MARKDOWN
    whole = StringIO()
    Console(file=whole, width=natural_width(table, to), highlight=False).print(table)
    lines = [line.rstrip() for line in whole.getvalue().splitlines()]
    to.print("\n".join(lines).strip("\n"), markup=False, highlight=False, soft_wrap=True)


def natural_width(table: "Table", to: "Console") -> int:
    """The columns of a terminal in which no cell of a table has to be broken."""
    from rich.measure import Measurement

    return Measurement.get(to, to.options.update(max_width=10**6), table).maximum
