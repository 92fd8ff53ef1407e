"""Whether a model's path is a folder, found out without torch."""

from pathlib import Path

from surgery.errors import InputError
from surgery.files.saved_files import require_saved_model

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
    return path.startswith((".", "~", "/")) or path.count("/") > 1 or is_there(path)


def is_there(path: str) -> bool:
    """Whether a path, with its `~`, names something on this machine; what can't be a path does not."""
    try:
        return Path(path).exists() or Path(path).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long for a name, a zero byte, the home of nobody
        return False


def names_a_file(path: str) -> bool:
    """Whether `path` can only mean a GGUF file: by its ending, or because a file is there (Ollama's have no ending)."""
    place = Path(path).expanduser()
    return not place.is_dir() and (place.suffix.lower() == ".gguf" or place.is_file())


def require_folder(path: str, key: str = "model.path") -> None:
    """Raises InputError when `path` can only be a folder and holds no model, or a damaged one."""
    if not names_a_folder(path):
        return
    try:
        folder = Path(path).expanduser()
        if folder.is_file():
            raise InputError(f"{key} '{path}' is a file; give the folder it lies in, with a config.json beside it")
        if not folder.is_dir():
            raise InputError(f"{key} '{path}' is not there; give a folder with a config.json or a hub name")
        if not (folder / "config.json").is_file() and (files := sorted(folder.glob("*.gguf"))):
            raise InputError(f"{key} '{path}' holds no config.json; to read its GGUF file, give {key}='{files[0]}'")
        require_saved_model(folder, f"{key} '{path}'")
    except (OSError, RuntimeError) as error:
        raise InputError(f"{key} '{path}' can't be looked at: {getattr(error, 'strerror', None) or error}") from None
