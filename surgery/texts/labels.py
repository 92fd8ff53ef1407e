"""What labels a row of a table carries, in each of the layouts that data sets come in."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from surgery.texts.tables import Name, Table
from surgery.texts.words import as_word

_SPEAKER, _WORDS = ("from", "role"), ("value", "content")
_ANSWERS = ("gpt", "assistant", "model", "bot")


@dataclass(frozen=True)
class Labelled:
    """A row of a table, or a text of a row that holds several.

    Attributes:
        text: None where there is none.
        labels: its labels as words, whatever they say: `NA` or the empty word too.
        unjudged: the word that stands where a flag should; None where every flag is one.
    """

    text: str | None
    labels: frozenset[str]
    unjudged: str | None = None


def from_one_column(table: Table, text: Name, label: Name, separator: str | None) -> list[Labelled]:
    """A column of labels: one in a cell, or several that a separator or a list keeps apart."""
    labels = table.column(label, "behavior.label")
    texts = _texts(table.column(text, "behavior.text"))
    return [Labelled(said, _words(cell, separator)) for said, cell in zip(texts, labels, strict=True)]


def from_flags(table: Table, text: Name, labels: Sequence[str]) -> list[Labelled]:
    """A column a label, 1 where the row carries it and 0 where not (Jigsaw's six); a row with anything else has none.

    Jigsaw's test set holds -1 in the rows that were not judged.
    """
    flags = [[as_word(cell) for cell in table.column(name, "behavior.label")] for name in labels]
    texts = _texts(table.column(text, "behavior.text"))
    found = []
    for said, row in zip(texts, zip(*flags, strict=True), strict=True):
        unjudged = next((flag for flag in row if flag not in ("0", "1")), None)
        carried = frozenset(as_word(name) for name, flag in zip(labels, row, strict=True) if flag == "1")
        found.append(Labelled(said, frozenset() if unjudged is not None else carried, unjudged))
    return found


def from_text_columns(table: Table, texts: Sequence[str]) -> list[Labelled]:
    """Several columns of texts, each of which is the label of its texts; a cell may hold conversations."""
    return [
        Labelled(said if said.strip() else None, frozenset({as_word(name)}))
        for name in texts
        for cell in table.column(name, "behavior.text")
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


def _texts(cells: Sequence[Any]) -> list[str | None]:
    return [cell if isinstance(cell, str) and cell.strip() else None for cell in cells]


def _words(cell: Any, separator: str | None) -> frozenset[str]:
    """The labels in one cell."""
    if isinstance(cell, Iterable) and not isinstance(cell, str):
        labels: list[object] = list(cell)
    elif isinstance(cell, str) and separator:
        labels = list(cell.split(separator))
    else:
        labels = [cell]
    return frozenset(map(as_word, labels or [""]))
