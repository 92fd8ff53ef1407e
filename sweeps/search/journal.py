"""The file that a search remembers its trials in: locked, hashed, and held against its hash when it is opened."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash
from filelock import FileLock

from surgery.errors import InputError
from surgery.files.whole_files import written_whole
from sweeps.records.record import lock_file

if TYPE_CHECKING:
    import optuna


class _JournalLock:
    """The lock of the journal: the system drops it with its process, where Optuna's own outlive a kill.

    As it is let go the journal's length and hash are noted, so that damage is noticed when it is next opened.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._lock = FileLock(lock_file(journal.parent, journal.name))

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        content = self._journal.read_bytes()
        with written_whole(_noted(self._journal)) as temporary:
            temporary.write_text(f"{len(content)} {xxhash.xxh3_128_hexdigest(content)}\n", encoding="ascii")
        self._lock.release()


def _noted(journal: Path) -> Path:
    return journal.with_suffix(".xxh3")


def open_journal(journal: Path) -> "optuna.storages.journal.JournalFileBackend":
    """The journal, held against its hash.

    Raises:
        InputError: when it is damaged.
    """
    from optuna.storages.journal import JournalFileBackend

    lock = _JournalLock(journal)
    if journal.is_file():
        with lock._lock:
            _drop_torn_line(journal)
            _require_sound(journal)
    return JournalFileBackend(str(journal), lock_obj=lock)  # type: ignore[arg-type]


def _require_sound(journal: Path) -> None:
    content = journal.read_bytes()
    try:
        for line in content.splitlines():
            json.loads(line)
        if _noted(journal).is_file():
            length, expected = _noted(journal).read_text(encoding="ascii").split()
            # What was added last may not be noted yet: a process can be killed in between.
            if xxhash.xxh3_128_hexdigest(content[: int(length)]) != expected:
                raise ValueError
    except ValueError:
        raise InputError(
            f"'{journal}' is damaged: it is not what was written; remove it and the search takes up the cells there are"
        ) from None


def _drop_torn_line(journal: Path) -> None:
    """Takes away what a killed process has half written: the next line would be glued to it."""
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        os.truncate(journal, whole)
