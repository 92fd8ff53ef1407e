"""Records as tables for the terminal."""

import sys
from collections.abc import Collection, Sequence

from rich.console import Console
from rich.table import Table

from sweeps.records.metric import Metric
from sweeps.records.record import RESULT, Record, in_order, swept_keys
from sweeps.results.broken_text import degenerate
from sweeps.results.false_discoveries import significant
from sweeps.results.headlines import headline_metrics, is_part_of_a_part

# A table is whole when it goes to a file or another program: nothing is cut to a width nobody has.
PIPED_WIDTH = 400


def console(stderr: bool = False) -> Console:
    """A console for results (stdout) or for progress (stderr)."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else PIPED_WIDTH, highlight=False, soft_wrap=False)


def number(value: float | None, signed: bool = False) -> str:
    """Four significant places; a minus sign that can't be mistaken; `-` for what was not measured."""
    if value is None:
        return "-"
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def change(metric: Metric | None) -> str:
    """`0.712 → 0.084`, or the one number of a metric without a base."""
    if metric is None:
        return "-"
    if metric.base is None:
        return number(metric.edited)
    return f"{number(metric.base)} → {number(metric.edited)}"


def cell_table(record: Record) -> Table:
    """Before and after, every metric of the report half with its interval and n; parts of parts are counted alone."""
    table = Table()
    table.add_column("metric")
    for name in ("base", "edited", "change", "95 % interval", "n"):
        table.add_column(name, justify="right")
    told = {name: metric for name, metric in record.metrics.items() if metric.half != "selection"}
    parts = {name for name in told if is_part_of_a_part(name, told)}
    for name, metric in told.items():
        if name in parts:
            continue
        interval = "-" if metric.low is None else f"{number(metric.low, True)} to {number(metric.high, True)}"
        cells = [number(metric.base), number(metric.edited), number(metric.delta, True), interval]
        table.add_row(name, *cells, "-" if metric.n is None else str(metric.n))
    if parts:
        table.caption = f"and {len(parts)} parts of parts, such as a category of a set, in {RESULT}"
        table.caption_justify = "left"
    return table


def sweep_table(records: Sequence[Record], best: Collection[str] = (), title: str | None = None) -> Table:
    """One row a cell: what was swept, then base → edited of the headline metrics.

    Marked are the chosen cells (those of one row of pooled seeds), those whose text is broken, and the differences
    that stay significant over all cells and metrics of the table; `sweep_notes` says what the marks mean.
    """
    keys, metrics = swept_keys([record.keys for record in records]), headline_metrics(records)
    differs = significant(records, metrics)
    broken = {record.cell for record in records if degenerate(record)}
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("cell", no_wrap=True)
    for key in keys:
        table.add_column(key, justify="right")
    for metric in metrics:
        table.add_column(metric, justify="right")
    if any(record.status != "done" for record in records):
        table.add_column("status")
    for record in in_order(records):
        row = [record.cell + (" *" if record.cell in best else " ×" if record.cell in broken else "")]
        row += [str(record.keys.get(key, "-")) for key in keys]
        for metric in metrics:
            mark = "† " if differs.get((record.cell, metric)) else ""
            row.append(mark + change(record.metrics.get(metric)))
        if record.status != "done":
            row.append(f"{record.status}: {record.error}")
        table.add_row(*row, style="bold" if record.cell in best else "dim" if record.cell in broken else "")
    return table


def sweep_notes(records: Sequence[Record]) -> list[str]:
    """What the marks of a sweep's table mean, a line each."""
    differs = significant(records)
    notes = []
    if any(differs.values()):
        notes.append(f"† differs from the base at a false discovery rate of 5 % over {len(differs)} comparisons")
    for record in records:
        if reason := degenerate(record):
            notes.append(f"× {record.cell} broke the text and is never chosen: {reason}")
    older = [record.cell for record in records if record.older_identity]
    if older:
        named = ", ".join(older[:3]) + (", …" if len(older) > 3 else "")
        notes.append(
            f"{len(older)} of {len(records)} cells are of an older identity ({named}): their model was known by a "
            "sample of its weights; run them again to be sure of their numbers"
        )
    return notes
