"""Files that are written whole or not at all, and hashes of content."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from surgery.errors import InputError


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`; it takes the name `path` only when the body ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def clear_leftovers(folder: str | Path) -> None:
    """Removes what `written_whole` left in a folder when its process was killed.

    Only for who may take it that nobody else writes there now: the holder of a lock.
    """
    for leftover in Path(folder).glob(".*.tmp"):
        leftover.unlink(missing_ok=True)


def sha256_of_parts(parts: Iterable[str | bytes]) -> str:
    """16 hexadecimal digits of the SHA-256 of the parts, each preceded by its length."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()[:16]


def sha256_of_file(path: str | Path) -> str:
    """The SHA-256 of a file's content, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_checksums(sums: str | Path, used: Iterable[str | Path]) -> None:
    """Compares files with a `sha256sum` list; files the list does not name are not its concern.

    Args:
        sums: the list; its paths are relative to its folder.
        used: files, or folders for every listed file below them.

    Raises:
        InputError: for a listed file that is missing or has another content, and when the list can't be read.
    """
    sums = Path(sums).expanduser()
    folders = [Path(path).expanduser().resolve() for path in used]
    try:
        listed = [line.split(maxsplit=1) for line in sums.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"checksums '{sums}' can't be read ({reason}); give a list that sha256sum wrote") from None
    for number, line in enumerate(listed, 1):
        if len(line) != 2:
            raise InputError(f"checksums '{sums}' has no SHA-256 and file in its line {number}; sha256sum writes such")
        expected, name = line[0], line[1].removeprefix("*")
        file = (sums.parent / name).resolve()
        if not any(file == folder or folder in file.parents for folder in folders):
            continue
        if not file.is_file():
            raise InputError(f"'{file}' is missing; install the package again")
        if sha256_of_file(file) != expected:
            raise InputError(f"'{file}' is not the file that {sums.name} lists; install the package again")
