"""Files a person names: read as text (`surgery.files.text_file`), and known by their content."""

import hashlib
from functools import lru_cache
from pathlib import Path

from surgery.files.text_file import read_text, require_file

__all__ = ["file_digest", "folder_digests", "read_text", "require_file"]


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
