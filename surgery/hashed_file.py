"""A file that is hashed while it is written: the SHA-256 runs on a thread of its own, beside reading and writing."""

import fcntl
import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

# Two of these are in flight; larger ones leave the processor's cache.
PIECE = 2 << 20
# Linux: share all blocks of another file, copy on write.
FICLONE = 0x40049409


class HashedFile:
    """A new file that is written from start to end; `hexdigest` of its content is known when it is closed."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115
        self._state = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None
        self._buffers = (bytearray(PIECE), bytearray(PIECE))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        self._file.close()

    @property
    def hexdigest(self) -> str:
        """64 hexadecimal digits, of what was written so far."""
        self._wait()
        return self._state.hexdigest()

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()

    def _hash(self, data: memoryview) -> None:
        self._wait()
        self._pending = self._thread.submit(self._state.update, data)

    def write(self, data: memoryview) -> None:
        """Appends the bytes; they must stay as they are until the next call."""
        self._hash(data)
        written = 0
        while written < len(data):
            written += self._file.write(data[written:])

    def copy(self, source: BinaryIO, start: int, size: int) -> None:
        """Appends `size` bytes of an unbuffered file from `start` on.

        Raises:
            OSError: when the source ends before, or can't be read.
        """
        self._read(source, start, size, write=True)

    def clone(self, source: BinaryIO, size: int) -> bool:
        """Shares the whole content with the source, where the file system can; says whether it did."""
        try:
            fcntl.ioctl(self._file.fileno(), FICLONE, source.fileno())
        except OSError:
            return False
        self._read(source, 0, size, write=False)
        return True

    def _read(self, source: BinaryIO, start: int, size: int, write: bool) -> None:
        source.seek(start)
        turn = 0
        while size:
            buffer = memoryview(self._buffers[turn])[: min(PIECE, size)]
            count = source.readinto(buffer)  # type: ignore[attr-defined]
            if not count:
                raise OSError(f"'{source.name}' ended {size} bytes early")
            (self.write if write else self._hash)(buffer[:count])
            size -= count
            turn = 1 - turn
