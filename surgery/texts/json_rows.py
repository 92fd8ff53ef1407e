"""Tables of JSON objects, or of texts alone: one a line, or a list of them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from surgery.files.text_file import Damaged, unreadable

# One row, and the line it begins in. A text alone is in column 0, as in a file that names no columns.
Object = tuple[int, Mapping[str | int, Any]]


def json_lines(text: str) -> list[Object]:
    """The objects of a `.jsonl`, one a line; blank lines are none.

    Raises:
        Damaged: for a line that is no object, or holds what is no text. Says the line.
    """
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        hint = "; a list of objects is named .json" if line.strip()[0] == "[" or line.strip() == "{" else ""
        try:
            value = json.loads(line, object_pairs_hook=_once)
        except (ValueError, RecursionError, KeyError) as error:
            raise Damaged(f"is not JSON in line {number}: {_reason(error)}{hint}") from None
        if isinstance(value, list):
            raise Damaged(f"holds a list in line {number}, not an object {{…}}{hint}")
        rows.append((number, _object(value, number, line)))
    return rows


def json_list(text: str) -> list[Object]:
    """The objects of a `.json`: a list of them, or what pandas writes, {column: {row: value}} or {column: [values]}.

    Raises:
        Damaged: for anything else, and where the file ends too early or goes on too long. Says the line.
    """
    decoder, position, line = json.JSONDecoder(object_pairs_hook=_once), _after_space(text, 0), 1
    if text[position] == "{":
        return _from_columns(decoder, text, position)
    if text[position] != "[":
        raise Damaged("is not JSON in line 1; a .json file holds a list of objects")
    rows: list[Object] = []
    counted, position = 0, _after_space(text, position + 1)
    mark = text[position : position + 1]
    while mark != "]":
        line, counted = line + text.count("\n", counted, position), position
        value, end = _decoded(decoder, text, position)
        rows.append((line, _object(value, line, text[position:end])))
        position = _after_space(text, end)
        mark = text[position : position + 1]
        if mark not in (",", "]"):
            at = text.count("\n", 0, position) + 1
            raise Damaged(f"is not JSON in line {at}: " + ("a comma is missing" if mark else "the list is cut off"))
        if mark == ",":
            position = _after_space(text, position + 1)
    _require_end(text, position + 1)
    return rows


def _from_columns(decoder: json.JSONDecoder, text: str, position: int) -> list[Object]:
    value, end = _decoded(decoder, text, position)
    _require_end(text, end)
    columns = list(value.values())
    if columns and all(isinstance(one, dict) for one in columns):
        columns = [list(one.values()) for one in columns if one.keys() == columns[0].keys()]
    if len(columns) != len(value) or not all(isinstance(one, list) and len(one) == len(columns[0]) for one in columns):
        raise Damaged("holds one object, not a list of objects")
    rows = zip(*columns, strict=True)
    # All that such a file can tell is where it begins.
    return [(1, _object(dict(zip(value, row, strict=True)), 1, text)) for row in rows]


def _decoded(decoder: json.JSONDecoder, text: str, position: int) -> tuple[Any, int]:
    try:
        return decoder.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise Damaged(f"is not JSON in line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, KeyError) as error:
        at = text.count("\n", 0, position) + 1
        raise Damaged(f"is not JSON in line {at}: {_reason(error)}") from None


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of a key that it gives twice JSON itself would silently keep the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise KeyError(next(name for name in names if names.count(name) > 1))
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"an object gives '{error.args[0]}' twice"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    # Python itself refuses a number of more than 4,300 digits.
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def _require_end(text: str, position: int) -> None:
    if text[position:].strip():
        at = text.count("\n", 0, _after_space(text, position)) + 1
        raise Damaged(f"goes on in line {at}, after the end of its JSON; a file with an object a line is named .jsonl")


def _object(value: Any, line: int, source: str) -> Mapping[str | int, Any]:
    if isinstance(value, str):
        value = {0: value}
    if not isinstance(value, dict):
        raise Damaged(f"has no object in line {line}; each row has to be {{…}}")
    # Only an escape can spell what the file itself could not hold.
    if "\\u" in source and (found := unreadable(value)):
        raise Damaged(f"is damaged in line {line}: it holds {found}")
    return value


def _after_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position
