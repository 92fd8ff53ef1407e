"""Prompts from anyone's file, and their fixed halves."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evaluation.files import read_text, require_file
from evaluation.measurement import Half
from surgery.errors import InputError
from surgery.hub import HubFiles, on_the_hub

FORMATS = (".txt", ".jsonl", ".csv", ".tsv", ".parquet", ".yaml")
_WHAT = "the prompts file"


@dataclass(frozen=True)
class Prompt:
    """A text to continue, and the group it is counted in, where the file tells one."""

    text: str
    category: str | None = None


def prompt_files(paths: str | Path | Sequence[str | Path], where_else: str = "") -> list[Path]:
    """The files that a path, an address on the hub (see `surgery.hub`) or a list of these names.

    Raises:
        InputError: when a file is not there, or the hub can't give it; `where_else` ends that sentence.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    found: list[Path] = []
    for path in given:
        if on_the_hub(path):
            found += HubFiles.parse(str(path), _WHAT).fetch(_WHAT, where_else)
        else:
            found.append(require_file(path, _WHAT))
    if not found:
        raise InputError("no prompts file is given; give one, or leave its measurement out")
    return found


def read_prompts(
    paths: str | Path | Sequence[str | Path],
    column: str = "prompt",
    limit: int | None = None,
    *,
    where: Mapping[str, Any] | None = None,
    category: str | int | None = None,
    unescape: bool = False,
) -> list[Prompt]:
    """Reads prompts in the order of the files; blank ones are left out.

    Args:
        paths: `.txt` (a prompt a line), `.jsonl`, `.csv`, `.tsv`, `.parquet`, or `.yaml` (lists below any number of
            headings); or an address on the hub; or several of these.
        column: of those with columns. A JSON value may be {"text": …} too, as in RealToxicityPrompts.
        limit: keeps the first so many, before they are halved: it changes which prompts are in which half.
        where: {column: value, or a list of values}: only rows with one of these.
        category: the column that groups prompts; in YAML the level of headings, from 1.
        unescape: a backslash and an n in the file stand for a new line, as in ToxiGen's prompt files.

    Raises:
        InputError: when a file is missing, empty, not UTF-8 (says the line), in no known format, or has no such
            column (names the columns there are).
    """
    if limit is not None and limit < 1:
        raise InputError(f"the prompts' limit is {limit}; it has to be 1 or more, or null for all")
    prompts: list[Prompt] = []
    files = prompt_files(paths)
    for path in files:
        for number, (value, group) in enumerate(_rows(path, column, where or {}, category), 1):
            text = value.get("text") if isinstance(value, dict) else value
            if not isinstance(text, str):
                raise InputError(f"{_WHAT} '{path}' has no text in row {number} of column '{column}'")
            if text.strip():
                shown = text.replace("\\n", "\n") if unescape else text
                prompts.append(Prompt(shown, None if group is None else str(group)))
    if not prompts:
        rows = "no prompts" if not where else f"no prompts where {', '.join(f'{k} is {v}' for k, v in where.items())}"
        raise InputError(f"{_WHAT} '{files[0]}' holds {rows}")
    return prompts[:limit]


def halves(prompts: Sequence[str], seed: int = 0) -> list[Half]:
    """Splits prompts in half: [n] → [n].

    Different prompts are ranked by a hash of the seed and their text, and the first half of the ranking is
    `report`. So identical prompts share a half, and the order of the file is of no account.
    """
    distinct = sorted(set(prompts), key=lambda prompt: hashlib.sha256(f"{seed}\n{prompt}".encode()).digest())
    report = set(distinct[: (len(distinct) + 1) // 2])
    return ["report" if prompt in report else "selection" for prompt in prompts]


def _rows(
    path: Path, column: str, where: Mapping[str, Any], category: str | int | None
) -> Iterable[tuple[Any, object | None]]:
    """(value, category) of each row of a file."""
    if path.suffix not in FORMATS:
        raise InputError(f"{_WHAT} '{path}' has no known format; it can be {', '.join(FORMATS)}")
    if path.suffix in (".txt", ".yaml"):
        if where or (category is not None and (path.suffix == ".txt" or not isinstance(category, int))):
            raise InputError(
                f"{_WHAT} '{path}' has no columns, so it can't be read with where or a category's name; "
                "in YAML a category is the number of a level of headings"
            )
        if path.suffix == ".yaml":
            return list(_yaml_leaves(path, category if isinstance(category, int) else None))
        return [(line.rstrip("\r"), None) for line in read_text(path, _WHAT).split("\n")]
    if isinstance(category, int):
        raise InputError(f"{_WHAT} '{path}' has columns, so a category is the name of one; it is {category}")
    wanted = [column, *where, *([category] if category is not None else [])]
    if path.suffix == ".parquet":
        rows = _parquet_rows(path, wanted)
    elif path.suffix == ".jsonl":
        rows = _json_rows(path, wanted)
    else:
        rows = _separated_rows(path, wanted, separated_by_tabs=path.suffix == ".tsv")
    return [
        (row[column], row[category] if category is not None else None)
        for row in rows
        if all(_same(row[name], value) for name, value in where.items())
    ]


def _same(found: Any, wanted: Any) -> bool:
    """Equal, or written alike: `true` in a .csv is a text. Of a list any value will do."""
    if isinstance(wanted, list | tuple):
        return any(_same(found, one) for one in wanted)
    return bool(found == wanted) or (isinstance(found, str) and found.lower() == str(wanted).lower())


def _require_columns(path: Path, wanted: Sequence[str], columns: Sequence[str]) -> None:
    for column in wanted:
        if column not in columns:
            raise InputError(f"{_WHAT} '{path}' has no column '{column}'; its columns are {', '.join(columns)}")


def _json_rows(path: Path, wanted: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(read_text(path, _WHAT).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{_WHAT} '{path}' is not JSON in line {number}: {error.msg}") from None
        if not isinstance(row, dict):
            raise InputError(f"{_WHAT} '{path}' has no object in line {number}; each line has to be {{…}}")
        _require_columns(path, wanted, list(row))
        rows.append(row)
    return rows


def _separated_rows(path: Path, wanted: Sequence[str], *, separated_by_tabs: bool) -> list[dict[str, Any]]:
    text = io.StringIO(read_text(path, _WHAT), newline="")
    # Between tabs a quotation mark is a character like any other.
    quoting: Literal[0, 3] = csv.QUOTE_NONE if separated_by_tabs else csv.QUOTE_MINIMAL
    reader = csv.DictReader(text, delimiter="\t" if separated_by_tabs else ",", quoting=quoting)
    try:
        _require_columns(path, wanted, list(reader.fieldnames or ()))
        return list(reader)
    except csv.Error as error:
        raise InputError(f"{_WHAT} '{path}' can't be read: line {reader.line_num}: {error}") from None


def _parquet_rows(path: Path, wanted: Sequence[str]) -> list[dict[str, Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    require_file(path, _WHAT)
    try:
        _require_columns(path, wanted, parquet.read_schema(path).names)
        rows: list[dict[str, Any]] = parquet.read_table(path, columns=list(dict.fromkeys(wanted))).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{_WHAT} '{path}' can't be read as parquet: {error}") from None
    return rows


def _yaml_leaves(path: Path, level: int | None) -> Iterator[tuple[Any, str | None]]:
    """The texts below a tree of headings, in order, each with the heading of one level."""
    import yaml

    try:
        tree = yaml.safe_load(read_text(path, _WHAT))
    except yaml.YAMLError as error:
        raise InputError(f"{_WHAT} '{path}' is not YAML: {str(error).splitlines()[0]}") from None

    def walk(node: Any, headings: tuple[str, ...]) -> Iterator[tuple[Any, str | None]]:
        if isinstance(node, dict):
            for heading, below in node.items():
                yield from walk(below, (*headings, str(heading)))
        elif isinstance(node, list):
            for below in node:
                yield from walk(below, headings)
        elif level is not None and not 1 <= level <= len(headings):
            raise InputError(f"{_WHAT} '{path}' has {len(headings)} levels of headings, so category={level} is none")
        else:
            yield node, None if level is None else headings[level - 1]

    return walk(tree, ())
