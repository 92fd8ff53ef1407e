"""SHA256SUMS: what the shipped files were when they were built, in the form that `sha256sum --check` reads."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

NAME = "SHA256SUMS"


def file_hash(path: Path) -> str:
    """A file's SHA-256 in hexadecimal."""
    return sha256(path.read_bytes()).hexdigest()


def shipped(folder: Path) -> list[Path]:
    """Every file of a built world but the list itself and what Python leaves beside its modules."""
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name != NAME and "__pycache__" not in path.parts
    )


def write_hashes(folder: Path) -> None:
    """Write the list of every file's hash."""
    lines = [f"{file_hash(path)}  {path.relative_to(folder).as_posix()}\n" for path in shipped(folder)]
    (folder / NAME).write_text("".join(lines), encoding="utf-8")


def changed_files(folder: Path) -> list[str]:
    """The relative paths that are missing or not what the list says; empty when all is well."""
    changed = []
    for line in (folder / NAME).read_text(encoding="utf-8").splitlines():
        expected, name = line.split("  ", 1)
        path = folder / name
        if not path.is_file() or file_hash(path) != expected:
            changed.append(name)
    return changed
