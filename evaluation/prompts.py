"""Prompts from anyone's file, and their fixed halves."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from evaluation.files import read_text, require_file
from evaluation.measurement import Half
from surgery.errors import InputError

FORMATS = (".txt", ".jsonl", ".csv", ".tsv", ".parquet")
_WHAT = "the prompts file"


def read_prompts(path: str | Path, column: str = "prompt", limit: int | None = None) -> list[str]:
    """Reads prompts in the order of the file; blank ones are left out.

    Args:
        path: `.txt` (a prompt a line), `.jsonl`, `.csv`, `.tsv` or `.parquet`.
        column: of the last four. A JSON value may be {"text": …} too, as in RealToxicityPrompts.
        limit: keeps the first so many, before they are halved: it changes which prompts are in which half.

    Raises:
        InputError: when the file is missing, empty, not UTF-8 (says the line), in no known format, or has no such
            column (names the columns there are).
    """
    path = Path(path).expanduser()
    if limit is not None and limit < 1:
        raise InputError(f"the prompts' limit is {limit}; it has to be 1 or more, or null for all")
    if path.suffix not in FORMATS:
        raise InputError(f"{_WHAT} '{path}' has no known format; it can be {', '.join(FORMATS)}")
    if path.suffix == ".txt":
        values: Iterable[Any] = [line.rstrip("\r") for line in read_text(path, _WHAT).split("\n")]
    elif path.suffix == ".parquet":
        values = _parquet_column(path, column)
    elif path.suffix == ".jsonl":
        values = _json_column(path, column)
    else:
        values = _separated_column(path, column, separated_by_tabs=path.suffix == ".tsv")
    prompts: list[str] = []
    for number, value in enumerate(values, 1):
        text = value.get("text") if isinstance(value, dict) else value
        if not isinstance(text, str):
            raise InputError(f"{_WHAT} '{path}' has no text in row {number} of column '{column}'")
        if text.strip():
            prompts.append(text)
    if not prompts:
        raise InputError(f"{_WHAT} '{path}' holds no prompts")
    return prompts[:limit]


def halves(prompts: Sequence[str], seed: int = 0) -> list[Half]:
    """Splits prompts in half: [n] → [n].

    Different prompts are ranked by a hash of the seed and their text, and the first half of the ranking is
    `report`. So identical prompts share a half, and the order of the file is of no account.
    """
    distinct = sorted(set(prompts), key=lambda prompt: hashlib.sha256(f"{seed}\n{prompt}".encode()).digest())
    report = set(distinct[: (len(distinct) + 1) // 2])
    return ["report" if prompt in report else "selection" for prompt in prompts]


def _require_column(path: Path, column: str, columns: Sequence[str]) -> None:
    if column not in columns:
        raise InputError(f"{_WHAT} '{path}' has no column '{column}'; its columns are {', '.join(columns)}")


def _json_column(path: Path, column: str) -> list[Any]:
    values = []
    for number, line in enumerate(read_text(path, _WHAT).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{_WHAT} '{path}' is not JSON in line {number}: {error.msg}") from None
        if not isinstance(row, dict):
            raise InputError(f"{_WHAT} '{path}' has no object in line {number}; each line has to be {{…}}")
        _require_column(path, column, list(row))
        values.append(row[column])
    return values


def _separated_column(path: Path, column: str, *, separated_by_tabs: bool) -> list[Any]:
    text = io.StringIO(read_text(path, _WHAT), newline="")
    # Between tabs a quotation mark is a character like any other.
    quoting: Literal[0, 3] = csv.QUOTE_NONE if separated_by_tabs else csv.QUOTE_MINIMAL
    reader = csv.DictReader(text, delimiter="\t" if separated_by_tabs else ",", quoting=quoting)
    try:
        _require_column(path, column, list(reader.fieldnames or ()))
        return [row[column] for row in reader]
    except csv.Error as error:
        raise InputError(f"{_WHAT} '{path}' can't be read: line {reader.line_num}: {error}") from None


def _parquet_column(path: Path, column: str) -> list[Any]:
    import pyarrow as pa
    from pyarrow import parquet

    require_file(path, _WHAT)
    try:
        _require_column(path, column, parquet.read_schema(path).names)
        values: list[Any] = parquet.read_table(path, columns=[column])[column].to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{_WHAT} '{path}' can't be read as parquet: {error}") from None
    return values
