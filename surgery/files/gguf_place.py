"""Where a GGUF file lies: given by its path, or by its name in a folder or a repository of the hub."""

from pathlib import Path

from surgery.errors import InputError
from surgery.files.gguf_file import GgufFile
from surgery.files.hub import snapshot
from surgery.files.local_paths import names_a_file, names_a_folder

# What an export is called in its folder: a LoRA, and a whole model.
ADAPTER_FILE, MODEL_FILE = "adapter.gguf", "model.gguf"


def told(path: str, gguf: str | None) -> str:
    """How the file was given, for sentences."""
    return f"model.path '{path}'" + (f" with model.gguf '{gguf}'" if gguf else "")


def gguf_of(path: str, gguf: str | None = None, revision: str | None = None) -> GgufFile | None:
    """The GGUF file that a model is read from, fetched from the hub where it lies there; None for a folder's weights.

    Args:
        path: of the file; or of a folder, or a hub name, that `gguf` lies in.
        gguf: its name there.
        revision: branch, tag or commit on the hub.

    Raises:
        InputError: when it isn't there, or is no whole language model; within no time, for it reads only the header.
    """
    given = told(path, gguf)
    if gguf is None:
        return GgufFile.read(_require_file(Path(path).expanduser(), given), given) if names_a_file(path) else None
    if Path(path).expanduser().is_file():
        raise InputError(f"{given}: model.path names a file already; leave model.gguf out")
    if not gguf.lower().endswith(".gguf") or Path(gguf).is_absolute() or ".." in Path(gguf).parts:
        raise InputError(f"{given}: model.gguf is the name of a .gguf file in that folder or repository")
    if names_a_folder(path):
        return GgufFile.read(_require_file(Path(path).expanduser() / gguf, given), given)
    folder = snapshot("model", path, revision, [_literal(gguf)], "model.path", "give the path of the file")
    if not (folder / gguf).is_file():
        raise InputError(f"{given}: the hub's repository holds no such file; look at its list of files")
    return GgufFile.read(folder / gguf, given)


def _require_file(path: Path, given: str) -> Path:
    if not path.is_file():
        there = sorted(one.name for one in path.parent.glob("*.gguf")) if path.parent.is_dir() else []
        hint = f"; there is {', '.join(there[:5])}" if there else "; give the path of a .gguf file"
        raise InputError(f"{given} is not there{hint}")
    return path


def _literal(name: str) -> str:
    """A pattern that only this name fits."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
