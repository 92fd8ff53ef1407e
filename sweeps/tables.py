"""Records as tables for the terminal."""

import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

from rich.console import Console
from rich.table import Table

from sweeps.records import Record, in_order, swept_keys

# The metrics a table of cells shows, in this order, where they were measured.
HEADLINES = (
    "toxicity/toxic_rate",
    "toxigen/toxic_rate",
    "jailbreak/refusal_rate",
    "jailbreak/harmless_answered",
    "attitude/positive_rate",
    "attitude/negative_rate",
    "lm_eval/average",
    "perplexity/*",
    "fluency/grammatical",
    "fluency/repetition",
)
WITHOUT_EVALUATION = ("probe/test_accuracy", "probe/loss_*")
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


def headline_metrics(records: Sequence[Record]) -> list[str]:
    """The names of the metrics that a table of these records shows."""
    names = list(dict.fromkeys(name for record in records for name in record.metrics))
    for patterns in (HEADLINES, WITHOUT_EVALUATION):
        found = [name for pattern in patterns for name in names if fnmatch(name, pattern)]
        if found:
            return list(dict.fromkeys(found))
    return []


def change(metric: Mapping[str, Any] | None) -> str:
    """`0.712 → 0.084`, or the one number of a metric without a base."""
    if metric is None:
        return "-"
    if metric["base"] is None:
        return number(metric["edited"])
    return f"{number(metric['base'])} → {number(metric['edited'])}"


def cell_table(record: Record) -> Table:
    """Before and after, every metric of the report half with its interval and n."""
    table = Table()
    table.add_column("metric")
    for name in ("base", "edited", "change", "95 % interval", "n"):
        table.add_column(name, justify="right")
    for name, metric in record.metrics.items():
        if name.startswith("selection/"):
            continue
        low, high = metric["ci95"]
        interval = "-" if low is None else f"{number(low, True)} to {number(high, True)}"
        cells = [number(metric["base"]), number(metric["edited"]), number(metric["delta"], True), interval]
        table.add_row(name, *cells, "-" if metric["n"] is None else str(metric["n"]))
    return table


def sweep_table(records: Sequence[Record], best: str | None = None, title: str | None = None) -> Table:
    """One row a cell: what was swept, then base → edited of the headline metrics; the chosen cell is marked."""
    keys, metrics = swept_keys([record.keys for record in records]), headline_metrics(records)
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("cell", no_wrap=True)
    for key in keys:
        table.add_column(key, justify="right")
    for metric in metrics:
        table.add_column(metric, justify="right")
    if any(record.status != "done" for record in records):
        table.add_column("status")
    for record in in_order(records):
        row = [record.cell + (" *" if record.cell == best else "")]
        row += [str(record.keys.get(key, "-")) for key in keys]
        row += [change(record.metrics.get(metric)) for metric in metrics]
        if record.status != "done":
            row.append(f"{record.status}: {record.error}")
        table.add_row(*row, style="bold" if record.cell == best else "")
    return table
