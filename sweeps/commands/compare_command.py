"""`sweeps compare`: two sweeps side by side."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from surgery.errors import InputError
from sweeps.commands.options import Csv, Name, Output
from sweeps.records.numbers import number
from sweeps.records.record import Record
from sweeps.records.sweep import Sweep
from sweeps.records.told_keys import Keys, TellingKeys
from sweeps.results.best_cell import choose, unmeasured
from sweeps.results.difference import Difference, difference
from sweeps.results.headlines import headline_metrics
from sweeps.results.pairing import Pairing, pair
from sweeps.results.protocols import by_protocol, hash_of, what_differs
from sweeps.terminal.cell_tables import SETTING, console
from sweeps.terminal.printed_table import natural_width, print_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Row = tuple[Record, Record, Difference]


def compare(
    a: Name,
    b: Name,
    on: Annotated[list[str] | None, typer.Option("--on", help="a key that pairs the cells; repeat")] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", "-m", help="a metric to show; repeat")] = None,
    csv: Csv = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="tables for a text file")] = False,
    output_dir: Output = Path("outputs"),
) -> None:
    """The cells of two sweeps with equal keys that were measured alike, side by side, and the chosen cell of each."""
    sweeps = Sweep.named(a, output_dir), Sweep.named(b, output_dir)
    of_a, of_b = (sweep.some_done() for sweep in sweeps)
    folders = sweeps[0].folder, sweeps[1].folder
    metrics = _metrics([*of_a, *of_b], metric or [])
    pairing, to = pair(of_a, of_b, on or []), console()
    ways = by_protocol(of_a), by_protocol(of_b)
    shared = [protocol for protocol in ways[0] if protocol in ways[1]]
    if not shared or (pairing.refused and not pairing.pairs):
        refused = pairing.refused or ((of_a[0], of_b[0]),)
        raise InputError(
            f"'{a}' and '{b}' were measured in different ways, so their numbers can't be compared: "
            f"{_reasons(refused, folders)}; run the cells of one again with the evaluation of the other"
        )
    for key, values in pairing.apart.items():
        to.print(f"{key}: {values[0]} in {a}, {values[1]} in {b}", markup=False)
    for protocol in shared:
        named = f", measured as {hash_of(protocol)}" if len(shared) > 1 else ""
        best = _chosen(ways[0][protocol], folders[0], named, to), _chosen(ways[1][protocol], folders[1], named, to)
        if best[0] is not None and best[1] is not None:
            rows = _rows([(best[0], best[1])], metrics, folders)
            print_table(_table(rows, {}, (a, b), f"the chosen cells{named}", markdown), to, markdown)
    rows = _rows(pairing.pairs, metrics, folders)
    for protocol in shared:
        alike = [row for row in rows if row[0].protocol == protocol]
        named = f", measured as {hash_of(protocol)}" if len(shared) > 1 else ""
        if alike:
            _show_pairs(alike, pairing.keys, (a, b), f"cells with equal keys{named}", to, markdown)
    _tell_the_rest(pairing, (a, b), folders, rows, to)
    if csv is not None:
        _write(csv, rows, pairing.keys)


def _metrics(records: Sequence[Record], asked: Sequence[str]) -> list[str]:
    known = list(dict.fromkeys(name for record in records for name in record.metrics))
    if unknown := [name for name in asked if name not in known]:
        raise InputError(unmeasured(unknown[0], records))
    return list(asked) or headline_metrics(records)


def _reasons(refused: Sequence[tuple[Record, Record]], folders: tuple[Path, Path]) -> str:
    """What the cells of each pair measured differently, each reason once."""
    names = folders[0].name, folders[1].name
    kinds = {(one.protocol, other.protocol): (one, other) for one, other in refused}
    return "; ".join(dict.fromkeys(what_differs(cells, folders, names) for cells in kinds.values()))


def _chosen(done: list[Record], folder: Path, named: str, to: "Console") -> Record | None:
    """The cell of those measured alike that a sweep's own rule picks on the selection half; says which, or why none.

    Of pooled seeds the first stands in the table, since what is paired there are the samples of two cells.
    """
    choice = Sweep(folder).rule(done)
    found = choose(done, choice, folder) if choice else None
    if choice is None or found is None or found.best is None:
        why = "its cells have no one rule to choose by" if found is None else found.why
        to.print(f"{folder.name}{named}: {why}", markup=False, soft_wrap=True)
        return None
    best = next(record for record in done if record.cell == found.best.cell)
    keys = TellingKeys([record.keys for record in done]).of(best.keys)
    seeds = found.best.seeds
    pooled = f"; seeds {', '.join(map(str, seeds))} pooled, in the table is seed {seeds[0]}" if len(seeds) > 1 else ""
    more = f"; {found.why}" if found.why else ""
    told = (
        f"{folder.name}{named}: chosen{found.half}: {', '.join(found.best.cells)} ({keys}{pooled}), by {choice}{more}"
    )
    to.print(told, markup=False, soft_wrap=True)
    return best


def _rows(pairs: Sequence[tuple[Record, Record]], metrics: Sequence[str], folders: tuple[Path, Path]) -> list[Row]:
    found = []
    for one, other in pairs:
        for name in metrics:
            told = difference(name, one, other, folders[0] / one.cell, folders[1] / other.cell)
            if told.a is not None or told.b is not None:
                found.append((one, other, told))
    return found


def _show_pairs(
    rows: Sequence[Row], keys: Sequence[str], names: tuple[str, str], title: str, to: "Console", markdown: bool
) -> None:
    """Prints a table with a column for each key, or one for all of them where a terminal has no room."""

    def of(key: str) -> Callable[[Keys], str]:
        return lambda keys: str(keys.get(key, "-"))

    table = _table(rows, {key: of(key) for key in keys}, names, title, markdown)
    if not markdown and natural_width(table, to) > to.width:
        telling = TellingKeys([one.keys for one, _, _ in rows])
        table = _table(rows, {SETTING: telling.of}, names, title, markdown)
    print_table(table, to, markdown)


def _table(
    rows: Sequence[Row], of_cells: Mapping[str, Callable[[Keys], str]], names: tuple[str, str], title: str, whole: bool
) -> "Table":
    """What `of_cells` says of a pair stands in its first row, or in all where each has to be whole."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for head in of_cells:
        table.add_column(head, justify="left" if head == SETTING else "right")
    table.add_column("metric")
    for name in (*names, "difference"):
        table.add_column(name, justify="right")
    table.add_column("95 % interval")
    last: tuple[str, str] | None = None
    for one, other, told in rows:
        first = (one.cell, other.cell) != last
        last = (one.cell, other.cell)
        shown = [say(one.keys) if first or whole else "" for say in of_cells.values()]
        values = [number(told.a), number(told.b), number(told.difference, signed=True)]
        table.add_row(*shown, told.metric, *values, _interval(told))
    return table


def _interval(told: Difference) -> str:
    if told.ci95 is not None:
        return f"{_span(told.ci95)}, paired, n={told.n}"
    if any(low is not None for low, _ in told.own):
        return f"unpaired ({told.unpaired}); each against its base: {_span(told.own[0])} and {_span(told.own[1])}"
    return f"none ({told.unpaired})"


def _span(interval: tuple[float | None, float | None]) -> str:
    low, high = interval
    return "-" if low is None else f"{number(low, signed=True)} to {number(high, signed=True)}"


def _tell_the_rest(
    pairing: Pairing, names: tuple[str, str], folders: tuple[Path, Path], rows: Sequence[Row], to: "Console"
) -> None:
    if refused := pairing.refused:
        cells = ", ".join(f"{one.cell} and {other.cell}" for one, other in refused)
        to.print(
            f"{len(refused)} of {len(pairing.pairs) + len(refused)} pairs with equal keys are left out, since each was "
            f"measured in two ways ({_reasons(refused, folders)}): {cells}",
            markup=False,
            soft_wrap=True,
        )
    for name, count in zip(names, pairing.alone, strict=True):
        if count:
            to.print(f"cells of {name} without a counterpart: {count}", markup=False)
    if pairing.ambiguous:
        to.print(
            "cells left out, since another cell of their sweep has the same keys: " + ", ".join(pairing.ambiguous),
            soft_wrap=True,
        )
    if not rows:
        raise InputError(f"no cell of {names[0]} has the keys of one of {names[1]}; say with --on KEY what pairs them")


def _write(path: Path, rows: Sequence[Row], keys: Sequence[str]) -> None:
    import pandas as pd

    def row(one: Record, other: Record, told: Difference) -> dict[str, Any]:
        low, high = told.ci95 or (None, None)
        return {
            "cell_a": one.cell,
            "cell_b": other.cell,
            **{key: one.keys.get(key) for key in keys},
            "metric": told.metric,
            "a": told.a,
            "b": told.b,
            "difference": told.difference,
            "ci_low": low,
            "ci_high": high,
            "n": told.n,
            "unpaired": told.unpaired,
            "a/ci_low": told.own[0][0],
            "a/ci_high": told.own[0][1],
            "b/ci_low": told.own[1][0],
            "b/ci_high": told.own[1][1],
            "protocol": one.protocol,
        }

    pd.DataFrame([row(*entry) for entry in rows]).to_csv(path, index=False)
