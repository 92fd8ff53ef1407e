"""`sweeps store`: what the store holds, and the pruning of what no record refers to."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surgery.errors import InputError
from sweeps.commands.options import Output
from sweeps.store.store import Store
from sweeps.store.store_pruning import entries, references
from sweeps.store.store_pruning import prune as remove
from sweeps.terminal.cell_tables import console
from sweeps.terminal.printed_table import print_table

if TYPE_CHECKING:
    from rich.table import Table

    from sweeps.store.store_pruning import Entry

UNITS = ("B", "kB", "MB", "GB", "TB")


def store(
    prune: Annotated[bool, typer.Option("--prune", help="remove what no record refers to")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="with --prune: show what would go, remove nothing")
    ] = False,
    each: Annotated[bool, typer.Option("--entries", help="a row for each entry in place of each stage")] = False,
    output_dir: Output = Path("outputs"),
) -> None:
    """What stages made and cells share: size, age, and how many records refer to it."""
    if dry_run and not prune:
        raise InputError("--dry-run goes with --prune; without --prune nothing is removed")
    root, to = output_dir / "store", console()
    if not root.is_dir():
        raise InputError(f"there is no store in '{output_dir}'; run `surgery`, or name the folder with --output-dir")
    counts, silent = references(output_dir / "runs")
    found = entries(root, counts)
    loose = [entry for entry in found if not entry.records]
    if not prune:
        print_table(_entry_table(found) if each else _stage_table(found), to)
    elif each or dry_run:
        print_table(_entry_table(loose), to)
    if silent:
        to.print(f"{silent} records name no entry of the store: what they were made of counts as unused")
    if not prune or dry_run:
        would = f"; `sweeps store --prune` removes {'them' if len(loose) != 1 else 'it'}" if loose else ""
        to.print(f"{_entries(loose)} that no record refers to, {_size_text(_size(loose))}{would}")
        return
    left = Store(root)
    locked = [entry for entry in loose if remove(left, entry) == "locked"]
    removed = [entry for entry in loose if entry not in locked]
    kept = [entry for entry in found if entry not in removed]
    to.print(f"removed {_entries(removed)}, {_size_text(_size(removed))}; {_entries(kept)} left")
    if locked:
        to.print(f"{_entries(locked)} stayed that other processes are making now")


def _entries(found: "Sequence[Entry]") -> str:
    return f"{len(found)} {'entry' if len(found) == 1 else 'entries'}"


def _size(found: "Sequence[Entry]") -> int:
    return sum(entry.size for entry in found)


def _size_text(size: float) -> str:
    """`812 B`, `4.2 MB`: three places, powers of 1,000."""
    for unit in UNITS[:-1]:
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} {UNITS[-1]}"


def _age_text(made: float, now: float) -> str:
    """`3 min`, `5 h`, `12 days`; 0 s where the clock was moved back since."""
    seconds = max(0.0, now - made)
    for length, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{int(seconds / length)} {unit}"
    return f"{int(seconds)} s"


def _stage_table(found: "Sequence[Entry]") -> "Table":
    from rich.table import Table

    now, table = time.time(), Table()
    table.add_column("stage")
    for column in ("entries", "size", "newest", "oldest", "used by records", "unused"):
        table.add_column(column, justify="right")
    for stage in dict.fromkeys(entry.stage for entry in found):
        of_stage = [entry for entry in found if entry.stage == stage]
        made, used = [entry.made for entry in of_stage], sum(entry.records > 0 for entry in of_stage)
        ages = (_age_text(max(made), now), _age_text(min(made), now))
        unused = len(of_stage) - used
        table.add_row(
            stage, str(len(of_stage)), _size_text(_size(of_stage)), *ages, str(used or "-"), str(unused or "-")
        )
    return table


def _entry_table(found: "Sequence[Entry]") -> "Table":
    from rich.table import Table

    now, table = time.time(), Table("entry")
    for column in ("size", "age", "records"):
        table.add_column(column, justify="right")
    for entry in found:
        name = entry.name if entry.whole else f"{entry.name} (unfinished)"
        table.add_row(name, _size_text(entry.size), _age_text(entry.made, now), str(entry.records or "-"))
    return table
