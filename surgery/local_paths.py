"""Whether a model's path is a folder, found out without torch."""

from pathlib import Path

from surgery.errors import InputError


def names_a_folder(path: str) -> bool:
    """Whether `path` can only mean a folder: hub names are `name` or `owner/name` and nothing more."""
    return path.startswith((".", "~", "/")) or path.count("/") > 1 or Path(path).exists()


def names_a_file(path: str) -> bool:
    """Whether `path` can only mean a GGUF file: by its ending, or because a file is there (Ollama's have no ending)."""
    place = Path(path).expanduser()
    return not place.is_dir() and (place.suffix.lower() == ".gguf" or place.is_file())


def require_folder(path: str, key: str = "model.path") -> None:
    """Raises InputError when `path` can only be a folder and holds no model."""
    if not names_a_folder(path):
        return
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise InputError(f"{key} '{path}' is not there; give a folder with a config.json or a hub name")
    if not (folder / "config.json").is_file():
        if files := sorted(folder.glob("*.gguf")):
            raise InputError(f"{key} '{path}' holds no config.json; to read its GGUF file, give {key}='{files[0]}'")
        raise InputError(f"{key} '{path}' holds no config.json, so it is not a saved model")
