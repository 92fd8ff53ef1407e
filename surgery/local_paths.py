"""Whether a model's path is a folder, found out without torch."""

from pathlib import Path

from surgery.errors import InputError


def names_a_folder(path: str) -> bool:
    """Whether `path` can only mean a folder: hub names are `name` or `owner/name` and nothing more."""
    return path.startswith((".", "~", "/")) or path.count("/") > 1 or Path(path).exists()


def require_folder(path: str, key: str = "model.path") -> None:
    """Raises InputError when `path` can only be a folder and holds no model."""
    if not names_a_folder(path):
        return
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise InputError(f"{key} '{path}' is not there; give a folder with a config.json or a hub name")
    if not (folder / "config.json").is_file():
        raise InputError(f"{key} '{path}' holds no config.json, so it is not a saved model")
