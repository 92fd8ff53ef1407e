"""What a command says when its cells have ended."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sweeps.findings.one_sentence import in_one_sentence
from sweeps.plan.text_notes import chance_notes
from sweeps.records.choice import Choice
from sweeps.records.metric import Metric, half_of
from sweeps.records.numbers import change, number, powers
from sweeps.records.record import RESULT, Record
from sweeps.records.told_keys import TellingKeys
from sweeps.results.best_cell import Chosen, choose
from sweeps.results.diagnosis import diagnosis, why_none
from sweeps.results.headlines import headline_metrics
from sweeps.results.pooling import Pooled, pool
from sweeps.results.protocols import by_protocol, measured_alike
from sweeps.terminal.cell_tables import cell_table, sweep_notes, sweep_table
from sweeps.terminal.printed_table import print_table


def show(records: tuple[Record, ...], choice: Choice | None, folder: Path, to: Console) -> list[str]:
    """Prints the table of the cells, the one that was chosen, and where the records are; one for each protocol.

    Returns:
        The cells that were chosen, one for each protocol; the one cell of a command that has no other.
    """
    chosen: list[str] = []
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
        print_table(cell_table(record), to)
        step = "" if record.step is None else f"; a step of {record.step:.3g} times these rows' median norm"
        to.print(f"{record.edit['region']}, {len(record.edit['rows_per_layer'])} layers touched{step}", markup=False)
        chosen = [record.cell]
        to.print(in_one_sentence(record, choice), markup=False, style="bold", soft_wrap=True)
        for sentence in diagnosis(pool(done, folder), choice) if choice else ():
            to.print(sentence, markup=False, soft_wrap=True)
    elif records:
        ways = by_protocol(records)
        for protocol in ways or {"": []}:
            alike = measured_alike(records, folder, protocol) if len(ways) > 1 else records
            title = f"measured as {protocol}" if len(ways) > 1 else None
            chosen += _show_alike(alike, choice, folder, title, to)
    given_up = sum(record.status == "pruned" for record in records)
    if given_up:
        to.print(f"{given_up} of {len(records)} cells were given up before all was measured; they count as not done")
    failed = len(records) - len(done) - given_up
    if failed:
        to.print(f"[red]{failed} of {len(records)} cells failed[/red]; each says why above and in its {RESULT}")
    to.print(f"records: {folder}", markup=False)
    return chosen


def show_commands(cells: Sequence[str], folder: Path, to: Console) -> None:
    """Prints what may be typed next of each chosen cell, ready to be copied.

    Args:
        cells: their ids, which go on meaning the same cells when the sweep grows.
        folder: of the sweep.
        to: where.
    """
    output_dir = folder.parents[1]
    elsewhere = [] if output_dir == Path("outputs") else ["--output-dir", str(output_dir)]
    for cell in cells:
        to.print(f"next, with {cell}:", markup=False)
        for command in (["samples"], ["ask"], ["export", f"{folder.name}-{cell[:6]}"]):
            words = ["sweeps", command[0], folder.name, cell, *command[1:], *elsewhere]
            to.print(f"  {shlex.join(words)}", markup=False, soft_wrap=True)


def _show_alike(
    records: Sequence[Record], choice: Choice | None, folder: Path, title: str | None, to: Console
) -> tuple[str, ...]:
    found = choose(records, choice, folder) if choice else None
    show_table(records, found.best if found else None, to, title, choice)
    if choice is not None and found is not None:
        show_choice(found, choice, to)
    return (found.best.cell,) if found and found.best else ()


def show_table(
    records: Sequence[Record],
    best: Pooled | None,
    to: Console,
    title: str | None = None,
    choice: Choice | None = None,
) -> None:
    """Prints the table of the cells, as far as it has room, and what its marks mean."""
    print_table(sweep_table(records, best.cells if best else (), title, choice, to.width), to)
    for note in sweep_notes(records):
        to.print(note, markup=False)


def show_choice(found: Chosen, choice: Choice, to: Console) -> None:
    """Prints what the chosen cell did, which it is, and what it measures on the report half; or why there is none."""
    best = found.best
    if best is None:
        for sentence in why_none(found, choice):
            to.print(sentence, markup=False, soft_wrap=True)
        return
    to.print(in_one_sentence(best, choice), markup=False, style="bold", soft_wrap=True)
    keys = TellingKeys([row.keys for row in found.rows]).of(best.keys)
    pooled = f"; seeds {', '.join(map(str, best.seeds))} pooled" if len(best.seeds) > 1 else ""
    told = f"* chosen{found.half}: {', '.join(best.cells)} ({keys}{pooled}), by {choice}"
    to.print(told, markup=False)
    if found.why:
        to.print(f"  {found.why}", markup=False)
    names = headline_metrics([best])
    to.print(f"  {_on_half(names)}:", markup=False)
    _tell(best, names, to)


def show_front(front: Sequence[Pooled], metrics: list[str], to: Console) -> None:
    """Prints the cells that no other is better than in every objective, and what they measure on the report half."""
    if not front:
        to.print("no cell qualifies (on the selection half)")
        return
    telling = TellingKeys([record.keys for record in front])
    to.print(f"no cell is better in every objective (on the selection half) than these; {_on_half(metrics)}:")
    for record in front:
        to.print(f"  {record.cell} ({telling.of(record.keys)})", markup=False)
        _tell(record, metrics, to)


def _on_half(names: Sequence[str]) -> str:
    """Where what is told was measured; a search may measure one half alone."""
    halves = {half_of(name) for name in names}
    if halves == {"selection"}:
        return "on the selection half, since nothing was measured on the other"
    return "on the report half, and on the selection half where it says so" if len(halves) > 1 else "on the report half"


def _tell(row: Pooled, names: list[str], to: Console) -> None:
    for name in names:
        to.print(f"    {name:24} {told(row.metrics[name])}", markup=False)


def told(metric: Metric) -> str:
    """A metric against its base in a line; a percentage only of what is distinguishable from no change."""
    if metric.delta is None:
        return change(metric)
    moved, interval, n = number(metric.delta, True), metric.interval, metric.n
    if interval is not None:
        moved += f", 95 % interval {number(interval[0], True)} to {number(interval[1], True)}"
    spread = metric.sd_over_seeds
    seeds = "" if spread is None else f", sd over {metric.seeds} seeds {number(spread)}"
    if not metric.distinguishable:
        counted = "" if n is None else f" (n = {n})"
        return f"{change(metric)}  not distinguishable from no change{counted}: {moved}{seeds}"
    share = f"{_percentage(metric.delta / abs(metric.base))}; " if metric.base else ""
    counted = "" if n is None else f", n={n}"
    return f"{change(metric)}  ({share}change {moved}{counted}{seeds})"


def _percentage(share: float) -> str:
    """Whole ones; what is distinguishable and still less than one has a digit more, so that it is not told as 0."""
    return powers(f"{100 * share:+.2g}") + "%" if abs(share) >= 1000 else f"{share:+.{0 if abs(share) >= 0.01 else 1}%}"
