"""Digests of weights in the store: a folder is read once, and then known by what the file system says of its files."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from sweeps.store.store import Store

STAGE, DIGEST = "weights", "digest.txt"


class KeptDigests:
    """A `surgery.model.fingerprints.Keep`.

    Args:
        store: the store's folder; where there is none yet, or it can't be written to, digests last as long as the
            process, so that a command which is refused leaves no folder behind.
    """

    def __init__(self, store: Path | None) -> None:
        self._store = store
        self._made: dict[str, tuple[Sequence[object], str]] = {}

    def __call__(self, identity: Sequence[object], make: Callable[[], str]) -> str:
        from surgery.model.fingerprints import keep_in_process

        digest = keep_in_process(identity, lambda: self._kept(identity, make))
        self._made[repr(identity)] = (identity, digest)
        return digest

    def look_in(self, store: Path) -> None:
        """Looks for digests in this folder, where none was named before."""
        self._store = self._store or store

    def move_to(self, store: Path) -> None:
        """Keeps what was asked for in this folder, which is made where there is none."""
        self._store = store
        if _writable(store):
            for identity, digest in self._made.values():
                self._use(store, identity, lambda digest=digest: digest)  # type: ignore[misc]

    def _kept(self, identity: Sequence[object], make: Callable[[], str]) -> str:
        if self._store is None or not self._store.is_dir() or not _writable(self._store):
            return make()
        return self._use(self._store, identity, make)

    def _use(self, store: Path, identity: Sequence[object], make: Callable[[], str]) -> str:
        return Store(store).use(
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
