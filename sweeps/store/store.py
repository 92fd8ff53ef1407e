"""What stages made, keyed by content: outputs/store/<stage>/<key>/. Any number of processes may share it."""

import errno
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from surgery.errors import InputError
from sweeps.cell.canonical_json import canonical_json
from sweeps.store.full_disk import disk_full, is_disk_full
from sweeps.store.store_entry import IDENTITY, damage, seal, to_disk

LOCKS = ".locks"
# See `Store.path`.
KEY = re.compile("[0-9a-f]{16}")
# Raised when entries are written in another way, so that older ones are not taken for damaged ones.
LAYOUT = 2
# After so many seconds a person is told what is waited for.
PATIENCE = 10.0
# An entry may be pruned or replaced between the moment it is found and the moment it is read.
ATTEMPTS = 3

T = TypeVar("T")


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Store:
    """Folders that are there whole or not at all, found by the hash of what they were made from.

    An entry is checked against its checksums when this object first reads it; a damaged one is named and made
    again. Who makes an entry holds its lock, which the system takes from a process that dies. Nothing depends on a
    clock.

    Args:
        root: the folder of the store.
        say: told about damage, and about long waits for another process; by default stderr.
    """

    def __init__(self, root: str | Path, say: Callable[[str], None] = _to_stderr) -> None:
        self.root = Path(root)
        self._say = say
        self._whole: set[Path] = set()

    def path(self, stage: str, identity: Any) -> Path:
        """Where the entry of a stage lies, or would lie."""
        return self.root / stage / sha256(canonical_json([LAYOUT, identity]).encode()).hexdigest()[:16]

    def name(self, stage: str, identity: Any) -> str:
        """`stage/key`, as records refer to the entry."""
        return self.path(stage, identity).relative_to(self.root).as_posix()

    def has(self, stage: str, identity: Any) -> bool:
        """Whether the entry is there; its files are not read."""
        return (self.path(stage, identity) / IDENTITY).is_file()

    def find(self, stage: str, identity: Any) -> Path | None:
        """The entry's folder when it is there and whole."""
        place = self.path(stage, identity)
        if place not in self._whole or not (place / IDENTITY).is_file():
            self._whole.discard(place)
            if not place.is_dir() or damage(place, identity) is not None:
                return None
            self._whole.add(place)
        return place

    def get_or_make(self, stage: str, identity: Any, make: Callable[[Path], None]) -> Path:
        """The entry's folder; `make` fills a new one when there is none, or a damaged one.

        Of several processes that ask at once one makes the entry and the others wait for it.

        Raises:
            InputError: when it has to be made and the store can't be written to, or has no space left.
        """
        place = self.find(stage, identity)
        if place is None:
            place = self.path(stage, identity)
            with self.locked(stage, identity):
                if self.find(stage, identity) is None:
                    self._make(place, identity, make)
        return place

    def use(self, stage: str, identity: Any, make: Callable[[Path], None], load: Callable[[Path], T]) -> T:
        """What `load` reads from the entry's folder, also while other processes prune or replace entries."""
        for _ in range(ATTEMPTS - 1):
            place = self.get_or_make(stage, identity, make)
            try:
                return load(place)
            except Exception:  # whatever a reader says of a file that went away; its own fault comes back below
                self._whole.discard(place)
        return load(self.get_or_make(stage, identity, make))

    @contextmanager
    def locked(self, stage: str, identity: Any) -> Iterator[None]:
        """Keeps other processes from making the entry, or whatever else the identity stands for.

        Raises:
            InputError: when the store can't be written to, or has no space left.
        """
        place = self.path(stage, identity)
        try:
            lock = self.lock(place)
            try:
                lock.acquire(timeout=PATIENCE)
            except Timeout:
                self._say(f"store: waiting for another process that makes {self.name(stage, identity)}")
                lock.acquire()
        except OSError as error:
            refusal = self._refusal(place, error)
            if refusal is None:
                raise
            raise refusal from error
        try:
            yield
        finally:
            lock.release()

    def lock(self, place: Path) -> FileLock:
        """The lock of an entry's place, not yet taken.

        Raises:
            OSError: when the folder of the locks can't be made.
        """
        folder = place.parent / LOCKS
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / place.name)

    def _make(self, place: Path, identity: Any, make: Callable[[Path], None]) -> None:
        """Makes the entry; its lock is held."""
        making, begun = place.with_name(f".{place.name}.making"), False
        try:
            self.clear(place)
            if place.exists():
                what = damage(place, identity)
                self._say(f"store: {place.parent.name}/{place.name} is damaged ({what}); it is made again")
            making.mkdir()
            begun = True
            make(making)
            seal(making, identity)
            self.take_away(place)
            os.rename(making, place)
            to_disk(place.parent)
        except InputError:
            raise
        except Exception as error:
            refusal = self._refusal(place, error, begun)
            if refusal is None:
                raise
            raise refusal from error
        finally:
            self.clear(place)
        self._whole.add(place)

    def take_away(self, place: Path) -> None:
        """Moves an entry out of the way of readers; its lock is held, and `clear` then removes it."""
        self._whole.discard(place)
        if place.exists():
            os.rename(place, place.with_name(f".{place.name}.old"))

    def clear(self, place: Path) -> None:
        """Removes what a dead process left beside an entry; its lock is held, so nobody is making it."""
        for left in place.parent.glob(f".{place.name}.*"):
            shutil.rmtree(left, ignore_errors=True)

    def _refusal(self, place: Path, error: Exception, begun: bool = False) -> InputError | None:
        """The sentence for a store that is full or read-only; None for any other error."""
        name = f"{place.parent.name}/{place.name}"
        if is_disk_full(error):
            return disk_full(self.root)
        if not begun and isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return InputError(
                f"the store '{self.root}' can't be written to, and {name} is not there whole; let this user write "
                "there, or give another output_dir"
            )
        return None
