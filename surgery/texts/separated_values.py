"""Tables whose values stand between commas, semicolons or tabs, held to being whole."""

import csv
import json
from collections.abc import Iterator
from io import StringIO

from surgery.files.text_file import Damaged

# One row, and the line it begins in.
Line = tuple[int, list[str]]


def separated_rows(text: str, ending: str) -> list[Line]:
    """Every row of a `.csv` or `.tsv`, the first one included; blank lines are none.

    In a `.csv` quotation marks keep a value together. Where its first line has no comma, a semicolon (which
    spreadsheets write where the comma is in their numbers) or a tab stands between values. In a `.tsv` a quotation
    mark is a character like any other, unless the rows are of one length only when it is not.

    Raises:
        Damaged: for a quotation mark that is never closed or stands alone within quotes, a row that is longer or
            shorter than the first, JSON, or a `.tsv` without tabs. Says the line.
    """
    _require_no_json(text)
    first = next(line for line in StringIO(text, newline="") if line.strip())
    if ending == ".csv":
        rows = _same_length(text, _delimiter(first), quoted=True)
    elif "\t" not in first and any(_fields(first, delimiter) > 1 for delimiter in ",;"):
        raise Damaged("has no tab in its first line, but commas or semicolons; name it .csv")
    else:
        rows = _tab_separated(text)
    if not rows:
        raise Damaged("holds no rows")
    return rows


def _delimiter(first: str) -> str:
    return next((delimiter for delimiter in ",;\t" if _fields(first, delimiter) > 1), ",")


def _fields(line: str, delimiter: str) -> int:
    return len(next(csv.reader([line], delimiter=delimiter)))


def _tab_separated(text: str) -> list[Line]:
    try:
        return _same_length(text, "\t", quoted=False)
    except Damaged as damage:
        try:
            return _same_length(text, "\t", quoted=True)
        except Damaged:
            raise damage from None


def _rows(text: str, delimiter: str, quoted: bool) -> Iterator[Line]:
    # Python's reader gives up on a value of 128 KiB, which a document may well have.
    limit = csv.field_size_limit(len(text) + 1)
    source = StringIO(text, newline="")
    if quoted:
        reader = csv.reader(source, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL, strict=True)
    else:
        reader = csv.reader(source, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    begins = 1
    try:
        for row in reader:
            if any(value.strip() for value in row) or len(row) > 1:
                yield begins, row
            begins = reader.line_num + 1
    except csv.Error as error:
        raise Damaged(_quotes(text, delimiter, begins, reader.line_num, str(error))) from None
    finally:
        csv.field_size_limit(limit)


def _quotes(text: str, delimiter: str, begins: int, found: int, reason: str) -> str:
    """What is wrong with the quotation marks of the row that begins in a line and could be read to another."""
    if "unexpected end" in reason:
        rest = StringIO(text, newline="").readlines()[begins - 1 :]
        open_value = next(csv.reader(rest, delimiter=delimiter))[-1]
        # The value that never ends runs from its quotation mark to the end of the file.
        opened = text.count("\n") - open_value.count("\n") + 1
        return f"is damaged in line {opened}: a quotation mark is opened there and never closed"
    to = f" (it was read to line {found})" if found > begins else ""
    return (
        f"is damaged in line {begins}: a quotation mark is opened in that row and not closed before the next "
        f"value, or one within quotes is not doubled{to}"
    )


def _same_length(text: str, delimiter: str, quoted: bool) -> list[Line]:
    rows = list(_rows(text, delimiter, quoted))
    for line, row in rows:
        if len(row) != len(rows[0][1]):
            raise Damaged(
                f"is damaged in line {line}: it has {len(row)} values, but line {rows[0][0]} has {len(rows[0][1])}"
            )
    return rows


def _require_no_json(text: str) -> None:
    """JSON under another ending can pass for values between commas: `{"text": "a", "label": 1}` is two."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            value, _ = json.JSONDecoder().raw_decode(text.lstrip())
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, list) and value and isinstance(value[0], dict):
            raise Damaged("holds a list of JSON objects from line 1 on; name it .json")
    for number, line in enumerate(text.split("\n"), 1):
        if is_json_object(line):
            raise Damaged(f"holds a JSON object in line {number}; a file of these is named .jsonl")


def is_json_object(line: str) -> bool:
    """Whether a line is an object with something in it, as the lines of a `.jsonl` are."""
    line = line.strip()
    if line[:1] != "{" or line[-1:] != "}":
        return False
    try:
        return bool(json.loads(line))
    except (ValueError, RecursionError):
        return False
