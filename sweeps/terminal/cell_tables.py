"""Records as tables for the terminal."""

import sys
from collections.abc import Collection, Mapping, Sequence

from rich.console import Console, JustifyMethod
from rich.table import Table

from sweeps.records.choice import Choice
from sweeps.records.metric import name_of
from sweeps.records.numbers import change, number
from sweeps.records.record import RESULT, Record, in_order
from sweeps.records.told_keys import TellingKeys, swept_keys
from sweeps.results.broken_text import degenerate
from sweeps.results.false_discoveries import significant
from sweeps.results.headlines import headline_metrics, is_part_of_a_part

# A table is whole when it goes to a file or another program: nothing is cut to a width nobody has.
PIPED_WIDTH = 400
# A column: its head, and its cells from the top.
_NamedColumn = tuple[str, list[str]]
# The column that keys share where there is no room for one each; its cells are broken between keys.
SETTING, SETTING_ROOM = "setting", 36


def console(stderr: bool = False, wide: bool = False) -> Console:
    """A console for results (stdout) or for progress (stderr); a wide one leaves lines to the terminal to break."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() and not wide else PIPED_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


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


def sweep_table(
    records: Sequence[Record],
    best: Collection[str] = (),
    title: str | None = None,
    choice: Choice | None = None,
    room: int = PIPED_WIDTH,
) -> Table:
    """One row a cell: what was swept, then base → edited of the headline metrics.

    Marked are the chosen cells (those of one row of pooled seeds), those whose text is broken, and the differences
    that stay significant over all cells and metrics of the table; `sweep_notes` says what the marks mean. Where the
    terminal is narrow, what the rule looks at comes first, and what has no room is named below. Keys that have none
    share a column.

    Args:
        records: of the cells.
        best: ids of the chosen cells.
        title: above it.
        choice: the rule.
        room: columns of the terminal; from PIPED_WIDTH on nothing is left out.
    """
    keys, metrics = swept_keys([record.keys for record in records]), headline_metrics(records)
    differs = significant(records, metrics)
    broken = {record.cell for record in records if degenerate(record)}
    ordered = in_order(records)

    def named(record: Record) -> str:
        return record.cell + (" *" if record.cell in best else " ×" if record.cell in broken else "")

    def shown(record: Record, metric: str) -> str:
        return ("† " if differs.get((record.cell, metric)) else "") + change(record.metrics.get(metric))

    cells = ("cell", [named(record) for record in ordered])
    left = [cells, *((key, [str(record.keys.get(key, "-")) for record in ordered]) for key in keys)]
    measured = [(metric, [shown(record, metric) for record in ordered]) for metric in metrics]
    right: list[_NamedColumn] = []
    if any(record.status != "done" for record in records):
        whole = room >= PIPED_WIDTH
        told = [f"{one.status}: {one.error}" if whole and one.status != "done" else one.status for one in ordered]
        right = [("status", ["" if text == "done" else text for text in told])]
    kept, heads = _that_fit(left + right, measured, choice, room)
    if _width([*left, *kept, *right], heads) > room:
        telling = TellingKeys([record.keys for record in records])
        left = [cells, (SETTING, [telling.of(record.keys) for record in ordered])]
        kept, heads = _that_fit(left + right, measured, choice, room)
    table = Table(title=title, title_justify="left", title_style="bold")
    columns = [*left, *kept, *right]
    for index, (name, _) in enumerate(columns):
        justify: JustifyMethod = "left" if index == 0 or name in ("status", SETTING) else "right"
        table.add_column(heads.get(name, name), justify=justify, no_wrap=name != SETTING)
    for record, *row in zip(ordered, *(cells for _, cells in columns), strict=True):
        table.add_row(*row, style="bold" if record.cell in best else "dim" if record.cell in broken else "")
    if left_out := [name for name, _ in measured if name not in dict(kept)]:
        table.caption = f"no room for {', '.join(left_out)}: `sweeps report NAME --wide` shows all"
        table.caption_justify = "left"
    return table


def _that_fit(
    always: Sequence[_NamedColumn], measured: Sequence[_NamedColumn], choice: Choice | None, room: int
) -> tuple[Sequence[_NamedColumn], dict[str, str]]:
    """The metrics that a table has room for, one at least, and heads of several lines where they need them."""
    if room >= PIPED_WIDTH or _width([*always, *measured], {}) <= room:
        return measured, {}
    heads = {name: name.replace("/", "/\n") for name, _ in measured}
    ruled = [choice.metric, *(condition.name for condition in choice.where)] if choice else []
    first = sorted(measured, key=lambda column: name_of(column[0]) not in ruled)
    while len(first) > 1 and _width([*always, *first], heads) > room:
        first.pop()
    return [column for column in measured if column in first], heads


def _width(columns: Sequence[_NamedColumn], heads: Mapping[str, str]) -> int:
    """Of a table with these columns, whose heads may have several lines."""
    total = 1
    for name, cells in columns:
        texts = " ".join(cells).split(" ") if name == SETTING else cells
        widest = max(map(len, [*heads.get(name, name).split("\n"), *texts]))
        total += 3 + (min(widest, SETTING_ROOM) if name == SETTING else widest)
    return total


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
