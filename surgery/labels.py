"""What labels a row of a table carries, in each of the layouts that data sets come in."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from surgery.tables import as_word, column

Labelled = tuple[str | None, set[str] | None]  # a text, and its labels; None where there is none
_SPEAKER, _WORDS = ("from", "role"), ("value", "content")
_ANSWERS = ("gpt", "assistant", "model", "bot")


def from_one_column(
    table: pd.DataFrame, text: str | int, label: str | int, separator: str | None, path: object
) -> list[Labelled]:
    """A column of labels: one in a cell, or several that a separator or a list keeps apart."""
    labels = [_words(cell, separator) or None for cell in column(table, label, "behavior.label", path)]
    return list(zip(_texts(column(table, text, "behavior.text", path)), labels, strict=True))


def from_flags(table: pd.DataFrame, text: str | int, labels: Sequence[str], path: object) -> list[Labelled]:
    """A column a label, 1 where the row carries it and 0 where not (Jigsaw's six); a row with anything else has none.

    Jigsaw's test set holds -1 in the rows that were not judged.
    """
    flags = [[as_word(cell) for cell in column(table, name, "behavior.label", path)] for name in labels]
    found: list[set[str] | None] = []
    for row in zip(*flags, strict=True):
        judged = set(row) <= {"0", "1"}
        found.append({name for name, flag in zip(labels, row, strict=True) if flag == "1"} if judged else None)
    return list(zip(_texts(column(table, text, "behavior.text", path)), found, strict=True))


def from_text_columns(table: pd.DataFrame, texts: Sequence[str], path: object) -> list[Labelled]:
    """Several columns of texts, each of which is the label of its texts; a cell may hold conversations."""
    return [
        (said, {name})
        for name in texts
        for cell in column(table, name, "behavior.text", path)
        for said in answers(cell)
    ]


def answers(cell: Any) -> Iterator[str]:
    """A text itself; of conversations, however they are nested, the last answer of each.

    A conversation is a list of turns `{"from": "human" or "gpt", "value": …}` (HarmfulQA), or
    `{"role": "user" or "assistant", "content": …}`.
    """
    if isinstance(cell, str):
        yield cell
    elif isinstance(cell, Mapping):
        for part in cell.values():
            yield from answers(part)
    elif isinstance(cell, Iterable):
        parts = list(cell)
        if parts and all(_turn(part) is not None for part in parts):
            said = [turn[1] for part in parts if (turn := _turn(part)) and turn[0] in _ANSWERS]
            yield from said[-1:]
        else:
            for part in parts:
                yield from answers(part)


def _turn(part: Any) -> tuple[str, str] | None:
    """(speaker, words) when a part is a turn of a conversation."""
    if not isinstance(part, Mapping):
        return None
    speaker = next((part[key] for key in _SPEAKER if isinstance(part.get(key), str)), None)
    words = next((part[key] for key in _WORDS if isinstance(part.get(key), str)), None)
    return None if speaker is None or words is None else (speaker, words)


def named(labels: set[str], classes: Mapping[str, Sequence[object]]) -> set[str]:
    """The labels, and the names of the classes they belong to."""
    return labels | {name for name, values in classes.items() if labels & {as_word(value) for value in values}}


def _texts(cells: Sequence[Any]) -> list[str | None]:
    return [cell if isinstance(cell, str) and cell.strip() else None for cell in cells]


def _words(cell: Any, separator: str | None) -> set[str]:
    """The labels in one cell."""
    if isinstance(cell, Iterable) and not isinstance(cell, str):
        labels: list[object] = list(cell)
    elif pd.isna(cell):
        return set()
    elif isinstance(cell, str) and separator:
        labels = list(cell.split(separator))
    else:
        labels = [cell]
    return {word for word in map(as_word, labels) if word}
