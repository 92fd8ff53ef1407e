"""Prompts from anyone's file, and their fixed halves."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.inputs.named_files import read_text, require_file
from evaluation.measurements.measurement import Half
from surgery.errors import InputError
from surgery.files.hub import HubFiles, on_the_hub
from surgery.files.text_file import unreadable
from surgery.texts.separated_values import is_json_object
from surgery.texts.tables import FORMATS as TABLES
from surgery.texts.tables import read_table
from surgery.texts.words import as_word

TREES = (".yaml", ".yml")
FORMATS = (".txt", *TABLES, *TREES)
_WHAT = "the prompts file"

# A value of a column, as a table or a config file writes it.
Label = str | int | float | bool | None
# A value of a file, the group it is counted in, and its place.
_Row = tuple[Any, object | None, str]


@dataclass(frozen=True)
class Prompt:
    """A text to continue, and the group it is counted in, where the file tells one."""

    text: str
    category: str | None = None


def prompt_files(paths: str | Path | Sequence[str | Path], where_else: str = "") -> list[Path]:
    """The files that a path, an address on the hub (see `surgery.files.hub`) or a list of these names.

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
    where: Mapping[str, Label | list[Label]] | None = None,
    category: str | int | None = None,
    unescape: bool = False,
) -> list[Prompt]:
    """Reads prompts in the order of the files; blank ones are left out.

    Args:
        paths: `.txt` (a prompt a line), a table as `surgery.texts.tables` reads it, or `.yaml` (lists below any number
            of headings); or an address on the hub; or several of these.
        column: of those with columns. A JSON value may be {"text": …} too, as in RealToxicityPrompts.
        limit: keeps the first so many, before they are halved: it changes which prompts are in which half.
        where: {column: value, or a list of values}: only rows with one of these.
        category: the column that groups prompts; in YAML the level of headings, from 1.
        unescape: a backslash and an n in the file stand for a new line, as in ToxiGen's prompt files.

    Raises:
        InputError: when a file is missing, empty, damaged (says the line), in no known format, or has no such
            column (names the columns there are).
    """
    if limit is not None:
        _require_limit(limit)
    prompts: list[Prompt] = []
    files = prompt_files(paths)
    for path in files:
        for value, group, place in _rows(path, column, where or {}, category):
            text = value.get("text") if isinstance(value, dict) else value
            if not isinstance(text, str):
                raise InputError(f"{_WHAT} '{path}' has no text in {place}, column '{column}'")
            if text.strip():
                shown = text.replace("\\n", "\n") if unescape else text
                prompts.append(Prompt(shown, None if group is None else str(group)))
    if not prompts:
        raise InputError(f"{_WHAT} '{files[0]}' holds no prompts")
    return prompts[:limit]


def halves(prompts: Sequence[str], seed: int = 0) -> list[Half]:
    """Splits prompts in half: [n] → [n].

    Different prompts are ranked by a hash of the seed and their text, and the first half of the ranking is
    `report`. So identical prompts share a half, and the order of the file is of no account.
    """
    distinct = sorted(set(prompts), key=lambda prompt: hashlib.sha256(f"{seed}\n{prompt}".encode()).digest())
    report = set(distinct[: (len(distinct) + 1) // 2])
    return ["report" if prompt in report else "selection" for prompt in prompts]


def halves_alone(prompts: Sequence[str], seed: int = 0) -> list[Half]:
    """The half of each prompt by its own hash, whatever the others are: [n] → [n]; even by chance only."""
    digests = (hashlib.sha256(f"{seed}\n{prompt}".encode()).digest() for prompt in prompts)
    return ["selection" if digest[0] % 2 else "report" for digest in digests]


def drawn(prompts: Sequence[Prompt], count: int) -> list[Prompt]:
    """So many prompts, those of the lowest hashes, in the order they had: more of them hold fewer of them.

    Raises:
        InputError: for a count below 1.
    """
    _require_limit(count)
    ranked = sorted(prompts, key=lambda prompt: hashlib.sha256(f"drawn\n{prompt.text}".encode()).digest())
    chosen = {id(prompt) for prompt in ranked[:count]}
    return [prompt for prompt in prompts if id(prompt) in chosen]


def _require_limit(limit: int) -> None:
    if limit < 1:
        raise InputError(f"the prompts' limit is {limit}; it has to be 1 or more, or null for all")


def _rows(path: Path, column: str, where: Mapping[str, Label | list[Label]], category: str | int | None) -> list[_Row]:
    """What a file holds, in its order."""
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise InputError(f"{_WHAT} '{path}' has no known format; it can be {', '.join(FORMATS)}")
    if ending in TABLES:
        return _table_rows(path, column, where, category)
    if where or (category is not None and (ending == ".txt" or not isinstance(category, int))):
        raise InputError(
            f"{_WHAT} '{path}' has no columns, so it can't be read with where or a category's name; "
            "in YAML a category is the number of a level of headings"
        )
    text = read_text(path, _WHAT)
    if ending in TREES:
        return list(_leaves(path, text, category if isinstance(category, int) else None))
    lines = text.split("\n")
    if all(is_json_object(line) for line in lines if line.strip()):
        raise InputError(f"{_WHAT} '{path}' holds a JSON object in each line; a file of these is named .jsonl")
    if column in (names := [name.strip(' "\r') for name in re.split("[,;\t]", lines[0])]) and len(names) > 1:
        raise InputError(f"{_WHAT} '{path}' names columns in line 1 ({', '.join(names)}); name it .csv or .tsv")
    return [(line.rstrip("\r"), None, f"line {number}") for number, line in enumerate(lines, 1)]


def _table_rows(
    path: Path, column: str, where: Mapping[str, Label | list[Label]], category: str | int | None
) -> list[_Row]:
    if isinstance(category, int):
        raise InputError(f"{_WHAT} '{path}' has columns, so a category is the name of one; it is {category}")
    table = read_table(path, _WHAT)
    # Of texts alone, as a JSON list of them, none has a name.
    values = table.column(0 if list(table.columns) == [0] else column)
    groups = table.column(category) if category is not None else [None] * len(table)
    kept = list(range(len(table)))
    for name, wanted in where.items():
        words = {as_word(value) for value in (wanted if isinstance(wanted, list | tuple) else [wanted])}
        found = [as_word(value) for value in table.column(name)]
        kept = [place for place in kept if found[place] in words]
        if not kept:
            there = ", ".join(list(dict.fromkeys(found))[:8])
            raise InputError(f"{_WHAT} '{path}' holds no prompts where {name} is {wanted}; its values are {there}")
    return [(values[place], groups[place], table.places[place]) for place in kept]


def _leaves(path: Path, text: str, level: int | None) -> Iterator[_Row]:
    """The texts below a tree of headings, in order, each with the heading of one level.

    They are read as written: `no` and `3` are texts, and a heading that stands there twice loses nothing.
    """
    import yaml

    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{_WHAT} '{path}' is not YAML{where}: {reason}") from None

    def walk(node: Any, headings: tuple[str, ...]) -> Iterator[_Row]:
        if isinstance(node, yaml.MappingNode):
            for heading, below in node.value:
                yield from walk(below, (*headings, str(heading.value)))
        elif isinstance(node, yaml.SequenceNode):
            for below in node.value:
                yield from walk(below, headings)
        elif level is not None and not 1 <= level <= len(headings):
            raise InputError(f"{_WHAT} '{path}' has {len(headings)} levels of headings, so category={level} is none")
        else:
            line = f"line {node.start_mark.line + 1}"
            if reason := unreadable([node.value, *headings]):
                raise InputError(f"{_WHAT} '{path}' is damaged in {line}: it holds {reason}")
            yield node.value, None if level is None else headings[level - 1], line

    return walk(tree, ()) if tree is not None else iter(())
