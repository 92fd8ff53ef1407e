"""Text files as people have them: read whole as UTF-8, or refused with the line of what is wrong."""

import codecs
from pathlib import Path

from surgery.errors import InputError

_OTHER_ENCODINGS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)  # UTF-32's other begins as UTF-16's


class Damaged(ValueError):
    """What a file's content is not: the end of a sentence whose beginning, which file it is, its reader knows."""


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
        InputError: when the file is missing, empty, not UTF-8, or no text (says the line).
    """
    content = require_file(path, what).read_bytes()
    if not content.strip():
        raise InputError(f"{what} '{path}' is empty")
    if content.startswith(_OTHER_ENCODINGS):
        raise InputError(f"{what} '{path}' is UTF-16 or UTF-32, not UTF-8; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{what} '{path}' is not UTF-8: line {line} can't be decoded; save it as UTF-8") from None
    if (found := text.find("\0")) >= 0:
        line = text.count("\n", 0, found) + 1
        raise InputError(f"{what} '{path}' is no text: line {line} holds a NUL character; save it as UTF-8 text")
    return text


def unreadable(value: object) -> str | None:
    """What no tokenizer can read in a value or in anything nested in it; None when there is nothing.

    JSON and YAML can spell what UTF-8 can't hold: half of a surrogate pair, as where an emoji was cut in two.
    """
    if isinstance(value, str):
        if "\0" in value:
            return "a NUL character"
        try:
            value.encode()
        except UnicodeEncodeError:
            return "half of a surrogate pair (part of an emoji, say), which is no text"
        return None
    parts: list[object] = []
    if isinstance(value, dict):
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple):
        parts = list(value)
    return next((found for part in parts if (found := unreadable(part))), None)
