"""What a command says when its cells have ended."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sweeps.choice import Choice
from sweeps.degenerate import sound
from sweeps.headlines import headline_metrics
from sweeps.pooling import Pooled, pool
from sweeps.protocols import by_protocol, measured_alike
from sweeps.records import RESULT, Record, swept_keys
from sweeps.said_of_texts import chance_notes
from sweeps.tables import cell_table, change, sweep_notes, sweep_table


def show(records: tuple[Record, ...], choice: Choice | None, folder: Path, to: Console) -> None:
    """Prints the table of the cells, the one that was chosen, and where the records are; one for each protocol."""
    done = [record for record in records if record.status == "done"]
    if len(records) == 1 and done:
        record = done[0]
        names = [name for name in ("method", "model", "behavior", "layer", "top_k", "alpha") if name in record.keys]
        if record.keys.get("method") == "surgery":
            names.remove("method")
        keys = ", ".join(f"{key}={record.keys[key]}" for key in names)
        to.print(f"{record.cell}: {keys}", markup=False)
        to.print(cell_table(record))
        to.print(f"{record.edit['region']}, {len(record.edit['rows_per_layer'])} layers touched", markup=False)
    elif records:
        ways = by_protocol(records)
        for protocol in ways or {"": []}:
            alike = measured_alike(records, folder, protocol) if len(ways) > 1 else records
            title = f"measured as {protocol}" if len(ways) > 1 else None
            _show_alike(alike, choice, folder, title, to)
    for note in chance_notes(done):
        to.print(note, markup=False, style="yellow", soft_wrap=True)
    given_up = sum(record.status == "pruned" for record in records)
    if given_up:
        to.print(f"{given_up} of {len(records)} cells were given up before all was measured; they count as not done")
    failed = len(records) - len(done) - given_up
    if failed:
        to.print(f"[red]{failed} of {len(records)} cells failed[/red]; each says why above and in its {RESULT}")
    to.print(f"records: {folder}", markup=False)


def _show_alike(records: Sequence[Record], choice: Choice | None, folder: Path, title: str | None, to: Console) -> None:
    rows = pool(records, folder) if choice else []
    best = chosen(rows, choice) if choice else None
    show_table(records, best, to, title)
    if choice is not None:
        show_choice(rows, best, choice, to)


def show_table(records: Sequence[Record], best: Pooled | None, to: Console, title: str | None = None) -> None:
    """Prints the table of the cells, and what its marks mean."""
    to.print(sweep_table(records, best.cells if best else (), title))
    for note in sweep_notes(records):
        to.print(note, markup=False)


def chosen(rows: Sequence[Pooled], choice: Choice) -> Pooled | None:
    """The best of the rows whose text is not broken; None when none qualifies."""
    best = choice.pick((row.cell, row.metrics) for row in sound(rows))
    return next((row for row in rows if row.cell == best), None)


def show_choice(rows: Sequence[Pooled], best: Pooled | None, choice: Choice, to: Console) -> None:
    """Prints which of the rows was chosen, by what, and what it measures on the report half."""
    if best is None:
        broken = len(rows) - len(sound(rows))
        left_out = f"; {broken} of {len(rows)} broke the text" if broken else ""
        to.print(f"no cell qualifies for: {choice} (on the selection half){left_out}")
        return
    keys = _keys(best, swept_keys([row.keys for row in rows]))
    pooled = f"; seeds {', '.join(map(str, best.seeds))} pooled" if len(best.seeds) > 1 else ""
    to.print(
        f"* chosen on the selection half: {', '.join(best.cells)} ({keys}{pooled}), by {choice}",
        markup=False,
    )
    to.print("  told on the report half:", markup=False)
    _tell(best, headline_metrics([best]), to)


def show_front(front: list[Record], metrics: list[str], to: Console) -> None:
    """Prints the cells that no other is better than in every objective, and what they measure on the report half."""
    if not front:
        to.print("no cell qualifies (on the selection half)")
        return
    swept = swept_keys([record.keys for record in front])
    to.print("no cell is better in every objective (on the selection half) than these; told on the report half:")
    for record in front:
        to.print(f"  {record.cell} ({_keys(record, swept)})", markup=False)
        _tell(record, metrics, to)


def _keys(record: Record | Pooled, names: list[str]) -> str:
    return " ".join(f"{key}={record.keys[key]}" for key in names if key in record.keys)


def _tell(record: Record | Pooled, names: list[str], to: Console) -> None:
    for name in names:
        metric = record.metrics[name]
        if metric["base"]:
            low, high = metric["ci95"]
            share = f"{metric['delta'] / metric['base']:+.0%}"
            interval = f"95 % interval {low:+.3f} to {high:+.3f}"
            spread = metric.get("sd_over_seeds")
            seeds = "" if spread is None else f", sd over {metric['seeds']} seeds {spread:.3f}"
            line = f"{change(metric)}  ({share}; change {metric['delta']:+.3f}, {interval}, n={metric['n']}{seeds})"
            to.print(f"    {name:24} {line}", markup=False)
