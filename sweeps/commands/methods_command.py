"""`sweeps methods`: what each method of a sweep does at a price, and whether methods differ there."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from surgery.files.whole_files import written_whole
from sweeps.charts.pictures import save_charts
from sweeps.commands.options import Csv, Latex, Markdown, Maximize, Minimize, Name, Output, Protocol, rule_given
from sweeps.equal_price.comparison import compared_methods
from sweeps.equal_price.frontier_chart import frontier_charts
from sweeps.equal_price.methods_table import as_csv, as_latex, explanation, lines, overview, overviews, stacked
from sweeps.equal_price.told import MethodComparison
from sweeps.records.sweep import Sweep
from sweeps.report.write import FIGURES
from sweeps.results.protocols import measured_alike
from sweeps.terminal.cell_tables import console
from sweeps.terminal.printed_table import natural_width, print_table

if TYPE_CHECKING:
    from rich.table import Table


def methods(
    name: Name,
    against: Annotated[str, typer.Option(help="the method that others are compared with")] = "",
    minimize: Minimize = "",
    maximize: Maximize = "",
    csv: Csv = None,
    latex: Latex = None,
    markdown: Markdown = False,
    protocol: Protocol = "",
    output_dir: Output = Path("outputs"),
) -> None:
    """Methods at an equal price: each one's best setting within the price, and what it does on the report half."""
    sweep = Sweep.named(name, output_dir)
    records = measured_alike(sweep.finished(), sweep.folder, protocol)
    done = [record for record in records if record.status == "done"]
    choice = rule_given(minimize, maximize) or sweep.rule(done)
    found = compared_methods(records, sweep.folder, choice, against)
    to = console()
    show_methods(found, to, markdown)
    for path, text in ((csv, as_csv), (latex, as_latex)):
        if path is not None:
            with written_whole(path) as temporary:
                temporary.write_text(text(found), encoding="utf-8", newline="")
    for stem, chart in frontier_charts(found).items():
        for file in save_charts(sweep.folder / FIGURES, stem, [chart]):
            to.print(str(file), markup=False, soft_wrap=True)


def show_methods(found: MethodComparison, to: Console, markdown: bool = False) -> None:
    """Prints the values of all methods, the table with everything, and what they mean."""

    def fits(table: "Table") -> bool:
        return markdown or natural_width(table, to) <= to.width

    values = [_table(*overview(found))]
    if not fits(values[0]):
        values = [_table(*one) for one in overviews(found)]
    heads, body = lines(found)
    ends = [this[0] != following[0] for this, following in pairwise(body)]
    everything = _table(heads, body, 3, () if markdown else ends)
    if not fits(everything):
        heads, body = stacked(found)
        everything = _table(heads, body, 1, [not any(following[1:]) for following in body[1:]])
    for table in (*values, everything):
        print_table(table, to, markdown)
        to.print()
    for sentence in explanation(found):
        to.print(sentence, markup=False, soft_wrap=True)


def _table(heads: list[str], body: list[list[str]], left: int | None = None, ends: Sequence[bool] = ()) -> "Table":
    """A table: how many columns begin at the left, None for all, and which rows have a line across below them."""
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for place, head in enumerate(heads):
        table.add_column(escape(head), justify="left" if left is None or place < left else "right")
    for place, line in enumerate(body):
        alone = "bold" if not any(line[1:]) else ""
        table.add_row(*map(escape, line), style=alone, end_section=place < len(ends) and ends[place])
    return table
