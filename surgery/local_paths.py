"""Whether a model's path is a folder, found out without torch."""

from pathlib import Path

from surgery.errors import InputError

_IN_NAMES = "_.+=,@-"


def is_name(text: str) -> bool:
    """Whether a text can name a folder that has to be typed: letters of any script, digits and a few signs."""
    return 0 < len(text.encode()) <= 200 and not text.startswith(".") and all(map(_is_in_names, text))


def name_from(text: str) -> str:
    """A name made of any text: `texts (1)` becomes `texts_1`."""
    words = "".join(character if _is_in_names(character) else " " for character in text).split()
    return "_".join(words).lstrip(".") or "_"


def _is_in_names(character: str) -> bool:
    other_script = not character.isascii() and character.isprintable() and not character.isspace()
    return character.isalnum() or character in _IN_NAMES or other_script


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
