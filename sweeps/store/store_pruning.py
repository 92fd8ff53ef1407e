"""What is in the store, which records refer to it, and the removal of what none refers to."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import Timeout

from surgery.errors import InputError
from sweeps.records.record import RESULT
from sweeps.store.store import KEY, Store

# The field of result.json that names the entries a cell's result rests on, as `stage/key`.
USED = "store"
Outcome = Literal["removed", "locked"]


@dataclass(frozen=True)
class Entry:
    """One entry of the store.

    Attributes:
        stage, key: its folder is stage/key.
        size: bytes of its files.
        made: when it was written, seconds since 1970 by the clock of that time.
        records: how many records refer to it.
        whole: False for what a process that died left of one.
    """

    stage: str
    key: str
    size: int
    made: float
    records: int
    whole: bool = True

    @property
    def name(self) -> str:
        """`stage/key`."""
        return f"{self.stage}/{self.key}"


def references(runs: Path) -> tuple[Mapping[str, int], int]:
    """({stage/key: how many records refer to it}, how many finished cells' records name none).

    Raises:
        InputError: when a record can't be read, since what it refers to is then unknown.
    """
    counts: Counter[str] = Counter()
    silent = 0
    for result in sorted(runs.glob(f"*/*/{RESULT}")):
        try:
            record = json.loads(result.read_text(encoding="utf-8"))
            used = record.get(USED) or []
            counts.update(set(used))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"'{result}' can't be read ({error}), so what it needs of the store is unknown; remove its cell's "
                "folder and run the cell again"
            ) from None
        silent += record.get("status") == "done" and not used
    return counts, silent


def entries(root: Path, referring: Mapping[str, int]) -> list[Entry]:
    """All entries, by stage and key; what dead processes left of some, or perhaps live ones are making, among them."""
    found = []
    for folder in sorted(root.glob("*/*/")):
        # `.KEY.making` and `.KEY.old` are what a process makes, or a dead one left. Whatever else lies there (locks,
        # somebody's own folder) is no entry, and not ours to remove.
        unfinished = folder.name.startswith(".")
        key = folder.name.split(".")[1] if unfinished else folder.name
        if not KEY.fullmatch(key):
            continue
        made, size = 0.0, 0
        for status in _statuses(folder):
            size, made = size + status.st_size, max(made, status.st_mtime)
        records = 0 if unfinished else referring.get(f"{folder.parent.name}/{key}", 0)
        found.append(Entry(folder.parent.name, key, size, made, records, not unfinished))
    return found


def _statuses(folder: Path) -> Iterator[os.stat_result]:
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:  # another process moved it meanwhile
            continue
        if path.is_file():
            yield status


def prune(store: Store, entry: Entry) -> Outcome:
    """Removes an entry, or what a dead process left of one, unless a process is making it.

    A process that reads the entry at this moment makes it again.

    Raises:
        InputError: when the store can't be written to.
    """
    place = store.root / entry.stage / entry.key
    try:
        with store.lock(place).acquire(blocking=False):
            if entry.whole:
                store.take_away(place)
            store.clear(place)
    except Timeout:
        return "locked"
    except OSError as error:
        raise InputError(f"'{place}' can't be removed: {error.strerror or error}") from None
    return "removed"
