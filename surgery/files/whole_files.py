"""Files that are written whole or not at all, and hashes of content."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from surgery.errors import InputError

READ_AND_WRITE = 0o666


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`; it takes the name `path` only when the body ends without an error.

    The file may be read by whoever may read other files made here, see `let_be_read`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        mode = usual_mode(temporary)
        temporary.unlink()
        yield temporary
        let_be_read(temporary, mode)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def usual_mode(new: Path) -> int:
    """What a file made here by nobody in particular is allowed, as the umask has it; `new` is made, and is empty."""
    new.touch()
    return new.stat().st_mode


def let_be_read(file: Path, mode: int) -> None:
    """Allows a file all that `mode` does: libraries make files that are their owner's alone, and copies keep that.

    A file that has other names is left as it is, since it is somebody else's too.
    """
    found = file.stat()
    if found.st_nlink == 1:
        file.chmod(stat.S_IMODE(found.st_mode) | (stat.S_IMODE(mode) & READ_AND_WRITE))


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
