"""Digests that take a whole reading of files, kept by what the file system says of these."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

# Times of files are rounded, to seconds at worst: of a file that was changed just now they don't tell the next change.
SETTLED = 2_000_000_000  # nanoseconds

# Gives what was made from an identity before, or makes it: the digest of a folder's weights takes a whole reading.
Keep = Callable[[Sequence[object], Callable[[], str]], str]
_known: dict[str, str] = {}


def keep_in_process(identity: Sequence[object], make: Callable[[], str]) -> str:
    """A `Keep` that lasts as long as the process."""
    key = repr(identity)
    if key not in _known:
        _known[key] = make()
    return _known[key]


def keep_by_files(files: Sequence[Path], identity: Sequence[object], make: Callable[[], str], keep: Keep) -> str:
    """What is made of files: kept by what the file system says of them, once that tells the next change from the last.

    Args:
        files: one or more.
        identity: what else it is made by.
        make: reads the files.
        keep: where it is kept.
    """
    states = [_state(file) for file in files]
    youngest = max(changed for _, _, _, changed, _ in states)
    return make() if time.time_ns() - youngest < SETTLED else keep([*identity, *states], make)


def _state(file: Path) -> tuple[str, int, int, int, int]:
    """What a file system says of a file, which is something else once the file was written to.

    Path, size, the time of its last change, that of the last change of all this (which nobody can set), and inode.
    """
    path = file.resolve()
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
