"""Digests of weights in the store: a folder is read once, and then known by what the file system says of its files."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from sweeps.store import Store

STAGE, DIGEST = "weights", "digest.txt"


class KeptDigests:
    """A `surgery.fingerprints.Keep`.

    Args:
        store: the store's folder; without one, or where it can't be written to, digests last as long as the process.
    """

    def __init__(self, store: Path | None) -> None:
        self._store = store

    def __call__(self, identity: Sequence[object], make: Callable[[], str]) -> str:
        from surgery.fingerprints import keep_in_process

        return keep_in_process(identity, lambda: self._kept(identity, make))

    def _kept(self, identity: Sequence[object], make: Callable[[], str]) -> str:
        if self._store is None or not _writable(self._store):
            return make()
        return Store(self._store).use(
            STAGE,
            list(identity),
            lambda folder: _write(folder / DIGEST, make()),
            lambda folder: (folder / DIGEST).read_text(encoding="ascii"),
        )


def _write(file: Path, digest: str) -> None:
    file.write_text(digest, encoding="ascii")


def _writable(folder: Path) -> bool:
    nearest = next(there for there in (folder, *folder.absolute().parents) if there.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
