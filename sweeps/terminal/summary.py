"""What a command says when its cells have ended."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sweeps.plan.text_notes import chance_notes
from sweeps.records.choice import Choice
from sweeps.records.metric import Metric
from sweeps.records.record import RESULT, Record, swept_keys
from sweeps.results.best_cell import Chosen, choose
from sweeps.results.headlines import headline_metrics
from sweeps.results.pooling import Pooled
from sweeps.results.protocols import by_protocol, measured_alike
from sweeps.terminal.cell_tables import cell_table, change, sweep_notes, sweep_table


def show(records: tuple[Record, ...], choice: Choice | None, folder: Path, to: Console) -> None:
    """Prints the table of the cells, the one that was chosen, and where the records are; one for each protocol."""
    done = [record for record in records if record.status == "done"]
    for note in chance_notes(done):
        to.print(note, markup=False, style="yellow", soft_wrap=True)
    if len(records) == 1 and done:
        record = done[0]
        names = [name for name in ("method", "model", "behavior", "layer", "top_k", "alpha") if name in record.keys]
        if record.keys.get("method") == "surgery":
            names.remove("method")
        keys = ", ".join(f"{key}={record.keys[key]}" for key in names)
        to.print(f"{record.cell}: {keys}", markup=False)
        to.print(cell_table(record))
        step = "" if record.step is None else f"; a step of {record.step:.3g} times these rows' median norm"
        to.print(f"{record.edit['region']}, {len(record.edit['rows_per_layer'])} layers touched{step}", markup=False)
    elif records:
        ways = by_protocol(records)
        for protocol in ways or {"": []}:
            alike = measured_alike(records, folder, protocol) if len(ways) > 1 else records
            title = f"measured as {protocol}" if len(ways) > 1 else None
            _show_alike(alike, choice, folder, title, to)
    given_up = sum(record.status == "pruned" for record in records)
    if given_up:
        to.print(f"{given_up} of {len(records)} cells were given up before all was measured; they count as not done")
    failed = len(records) - len(done) - given_up
    if failed:
        to.print(f"[red]{failed} of {len(records)} cells failed[/red]; each says why above and in its {RESULT}")
    to.print(f"records: {folder}", markup=False)


def _show_alike(records: Sequence[Record], choice: Choice | None, folder: Path, title: str | None, to: Console) -> None:
    found = choose(records, choice, folder) if choice else None
    show_table(records, found.best if found else None, to, title)
    if choice is not None and found is not None:
        show_choice(found, choice, to)


def show_table(records: Sequence[Record], best: Pooled | None, to: Console, title: str | None = None) -> None:
    """Prints the table of the cells, and what its marks mean."""
    to.print(sweep_table(records, best.cells if best else (), title))
    for note in sweep_notes(records):
        to.print(note, markup=False)


def show_choice(found: Chosen, choice: Choice, to: Console) -> None:
    """Prints which cell was chosen, by what, and what it measures on the report half; or why none was."""
    best = found.best
    if best is None:
        to.print(found.why, markup=False)
        return
    keys = _keys(best, swept_keys([row.keys for row in found.rows]))
    pooled = f"; seeds {', '.join(map(str, best.seeds))} pooled" if len(best.seeds) > 1 else ""
    told = f"* chosen{found.half}: {', '.join(best.cells)} ({keys}{pooled}), by {choice}"
    to.print(told, markup=False)
    if found.why:
        to.print(f"  {found.why}", markup=False)
    to.print("  told on the report half:", markup=False)
    _tell(best, headline_metrics([best]), to)


def show_front(front: Sequence[Pooled], metrics: list[str], to: Console) -> None:
    """Prints the cells that no other is better than in every objective, and what they measure on the report half."""
    if not front:
        to.print("no cell qualifies (on the selection half)")
        return
    swept = swept_keys([record.keys for record in front])
    to.print("no cell is better in every objective (on the selection half) than these; told on the report half:")
    for record in front:
        to.print(f"  {record.cell} ({_keys(record, swept)})", markup=False)
        _tell(record, metrics, to)


def _keys(row: Pooled, names: list[str]) -> str:
    return " ".join(f"{key}={row.keys[key]}" for key in names if key in row.keys)


def _tell(row: Pooled, names: list[str], to: Console) -> None:
    for name in names:
        to.print(f"    {name:24} {told(row.metrics[name])}", markup=False)


def told(metric: Metric) -> str:
    """A metric against its base in a line; a percentage only of what is distinguishable from no change."""
    if metric.delta is None:
        return change(metric)
    moved, interval, n = f"{metric.delta:+.3f}", metric.interval, metric.n
    if interval is not None:
        moved += f", 95 % interval {interval[0]:+.3f} to {interval[1]:+.3f}"
    spread = metric.sd_over_seeds
    seeds = "" if spread is None else f", sd over {metric.seeds} seeds {spread:.3f}"
    if not metric.distinguishable:
        counted = "" if n is None else f" (n = {n})"
        return f"{change(metric)}  not distinguishable from no change{counted}: {moved}{seeds}"
    share = f"{_percentage(metric.delta / abs(metric.base))}; " if metric.base else ""
    counted = "" if n is None else f", n={n}"
    return f"{change(metric)}  ({share}change {moved}{counted}{seeds})"


def _percentage(share: float) -> str:
    """Whole ones; what is distinguishable and still less than one has a digit more, so that it is not told as 0."""
    return f"{share:+.0%}" if abs(share) >= 0.01 else f"{share:+.1%}"
