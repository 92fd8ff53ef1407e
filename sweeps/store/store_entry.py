"""One entry of the store: a folder with a list of what it was made from and of its files' checksums."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surgery.files.whole_files import sha256_of_file

IDENTITY = "identity.json"


def seal(folder: Path, identity: Any) -> None:
    """Writes what the folder was made from and the SHA-256 of each file, and hands all of it to the disk."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    text = _text(identity, {name: sha256_of_file(path) for name, path in files.items()})
    (folder / IDENTITY).write_text(text, encoding="utf-8")
    # Renamed before its content is on the disk, a file could be empty after a power cut.
    for path in (*files.values(), folder / IDENTITY, folder):
        to_disk(path)


def damage(folder: Path, identity: Any) -> str | None:
    """What is wrong with an entry in a few words, None when it is whole; every byte is read."""
    try:
        text = (folder / IDENTITY).read_text(encoding="utf-8")
        content = json.loads(text)
        files: dict[str, str] = dict(content["files"])
        # Compared as text, so that no changed byte goes unseen.
        if text != _text(identity, files):
            return f"{IDENTITY} is of something else, or was changed"
        for name, expected in files.items():
            if sha256_of_file(folder / name) != expected:
                return f"{name} is not what was written"
    except FileNotFoundError as error:
        return f"{Path(str(error.filename)).name} is missing"
    except OSError as error:
        return f"{Path(str(error.filename)).name} can't be read: {error.strerror}"
    except (ValueError, KeyError, TypeError):
        return f"{IDENTITY} is cut off, or was changed"
    return None


def to_disk(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _text(identity: Any, files: Mapping[str, str]) -> str:
    return json.dumps({"identity": identity, "files": dict(files)}, indent=1, sort_keys=True) + "\n"
