"""A file that is hashed while it is written."""

import fcntl
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import xxhash

# XXH3 keeps up with memory, where SHA-256 takes three times as long as the copy itself. It tells damage, and is not
# meant to tell forgery: the list of hashes lies beside the files, where a forger would change it too.
HASH = "xxh3_128"
# What was read is hashed and written while it is in the processor's cache.
PIECE = 1 << 20
# Linux: share all blocks of another file, copy on write.
FICLONE = 0x40049409


def hash_of_file(path: Path) -> str:
    """The XXH3 of a file's content, 32 hexadecimal digits."""
    state, buffer = xxhash.xxh3_128(), memoryview(bytearray(PIECE))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            state.update(buffer[:count])
    return state.hexdigest()


def hash_of_part(file: BinaryIO, start: int, size: int) -> str:
    """The XXH3 of `size` bytes of an unbuffered file from `start` on, 32 hexadecimal digits.

    Raises:
        OSError: when the file ends before, or can't be read.
    """
    state, buffer = xxhash.xxh3_128(), memoryview(bytearray(min(PIECE, size)))
    file.seek(start)
    while size:
        count = file.readinto(buffer[:size])  # type: ignore[attr-defined]
        if not count:
            raise OSError(f"'{file.name}' ended {size} bytes early")
        state.update(buffer[:count])
        size -= count
    return state.hexdigest()


class HashedFile:
    """A new file that is written from start to end; `hexdigest` is of what was written so far."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115
        self._state = xxhash.xxh3_128()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def hexdigest(self) -> str:
        """32 hexadecimal digits, as `hash_of_file` gives them."""
        return self._state.hexdigest()

    def write(self, data: memoryview) -> None:
        """Appends the bytes."""
        for start in range(0, len(data), PIECE):
            self._append(data[start : start + PIECE])

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

    def _append(self, data: memoryview) -> None:
        self._state.update(data)
        written = 0
        while written < len(data):
            written += self._file.write(data[written:])

    def _read(self, source: BinaryIO, start: int, size: int, write: bool) -> None:
        source.seek(start)
        buffer = memoryview(bytearray(PIECE))
        while size:
            count = source.readinto(buffer[: min(PIECE, size)])  # type: ignore[attr-defined]
            if not count:
                raise OSError(f"'{source.name}' ended {size} bytes early")
            if write:
                self._append(buffer[:count])
            else:
                self._state.update(buffer[:count])
            size -= count
