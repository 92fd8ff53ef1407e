"""Files a person names: read as text, and known by their content."""

import hashlib
from functools import lru_cache
from pathlib import Path

from surgery.errors import InputError


def require_file(path: str | Path, what: str) -> Path:
    """The path, when a file is there.

    Raises:
        InputError: when it is not; `what` says what the file was to be.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise InputError(f"{what} '{path}' is a folder; give a file")
    if not path.is_file():
        raise InputError(f"{what} '{path}' is not there; give the path of a file")
    return path


def read_text(path: str | Path, what: str) -> str:
    """A UTF-8 file, whole, without a byte order mark.

    Raises:
        InputError: when the file is missing, empty, or not UTF-8 (says the line).
    """
    content = require_file(path, what).read_bytes()
    if not content.strip():
        raise InputError(f"{what} '{path}' is empty")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{what} '{path}' is not UTF-8: line {line} can't be decoded; save it as UTF-8") from None


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content, hexadecimal. Read again only after the file has changed."""
    path = Path(path).expanduser().resolve()
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digests(folder: str | Path) -> dict[str, str]:
    """{path within the folder: SHA-256} of every file in it, sorted; compiled Python is left out."""
    folder = Path(folder).expanduser()
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}
