"""`sweeps paper`: our rows beside a table of the paper, and what of its claims they bear out."""

from pathlib import Path
from typing import Annotated

import typer

from surgery.errors import InputError
from surgery.files.whole_files import written_whole
from sweeps.commands.options import Csv, Latex, Markdown, Name, Output, Protocol
from sweeps.paper.one_prompt import continuations
from sweeps.paper.paper_figures import FIGURES, draw_figure
from sweeps.paper.render import as_csv, as_latex, lines
from sweeps.paper.table import PaperTable, rows_of
from sweeps.paper.verdicts import verdict
from sweeps.records.record import Record
from sweeps.records.sweep import Sweep
from sweeps.results.protocols import measured_alike
from sweeps.terminal.cell_tables import console
from sweeps.terminal.printed_table import print_table


def paper(
    table: Annotated[str, typer.Argument(help="table9, figure2, say")],
    name: Name,
    csv: Csv = None,
    latex: Latex = None,
    markdown: Markdown = False,
    protocol: Protocol = "",
    output_dir: Output = Path("outputs"),
) -> None:
    """A table of the paper, our rows beside its figures, and what of its claims holds in ours; or a figure."""
    from rich.markup import escape
    from rich.table import Table

    if table.startswith("figure"):
        _figure(table, name, protocol, output_dir)
        return
    wanted = PaperTable.load(table)
    sweep = Sweep.named(name, output_dir)
    folder, rows = sweep.folder, rows_of(wanted, sweep.folder, _done(sweep, protocol))
    if not rows:
        raise InputError(f"no cell of '{name}' is a row of {table}; `{wanted.run}` runs them")
    prompt, said = continuations(wanted, rows, folder) if wanted.continuations else ("", None)
    heads, body = lines(wanted, rows, said)
    shown = Table(title=f"{wanted.name}: {wanted.title}", title_justify="left")
    for index, head in enumerate(heads):
        shown.add_column(head, justify="right" if index else "left")
    for line in body:
        # A model's words are neither markup nor terminal codes.
        shown.add_row(*(escape("".join(c if c.isprintable() else " " for c in text)) for text in line))
    to = console()
    print_table(shown, to, markdown)
    to.print("change from the base in brackets, with its paired 95 % interval; the paper's numbers are for LLaMA2-7B")
    if said:
        to.print(f"continuations of: {' '.join(prompt.split())}", markup=False, soft_wrap=True)
    for claim in wanted.claims:
        found = verdict(claim, wanted, rows, folder)
        to.print(f"{found.word}: {claim.says}", markup=False, soft_wrap=True)
        for reason in found.reasons:
            to.print(f"    {claim.metric}: {reason}", markup=False, soft_wrap=True)
    for path, text in ((csv, as_csv), (latex, as_latex)):
        if path is not None:
            with written_whole(path) as temporary:
                temporary.write_text(text(wanted, rows, said), encoding="utf-8", newline="")


def _done(sweep: Sweep, protocol: str) -> list[Record]:
    """The cells that are done, of one protocol where one is named."""
    return measured_alike(sweep.done(), sweep.folder, protocol) if protocol else sweep.done()


def _figure(figure: str, name: str, protocol: str, output_dir: Path) -> None:
    if figure not in FIGURES:
        raise InputError(f"there is no '{figure}'; there are {', '.join(FIGURES)}, and tables")
    sweep = Sweep.named(name, output_dir)
    if not (done := _done(sweep, protocol)):
        raise sweep.none_done()
    files, sentences = draw_figure(figure, sweep.folder, done, progress=True)
    to = console()
    for line in (*sentences, *map(str, files)):
        to.print(line, markup=False, soft_wrap=True)
    to.print(f"`sweeps report {name}` shows them in the page too", markup=False, soft_wrap=True)
