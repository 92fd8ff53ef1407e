"""Pairs of texts, one to be preferred to the other: what preferences are trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_parts
from surgery.texts.tables import Table, read_table

# What the columns may be called: as TRL has them, or as ParaDetox has toxic texts and their neutral rewritings.
CHOSEN, REJECTED, PROMPT = ("chosen", "neutral", "neutral1"), ("rejected", "toxic"), "prompt"


@dataclass(frozen=True)
class TextPairs:
    """n pairs.

    Attributes:
        chosen, rejected: the text that is preferred, and the other, [n].
        prompts: what each pair goes on from, [n]; empty where pairs are texts of their own.
    """

    chosen: tuple[str, ...]
    rejected: tuple[str, ...]
    prompts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.chosen) == len(self.rejected) == (len(self.prompts) or len(self.chosen)):
            raise ValueError("each pair has a chosen text, a rejected one, and a prompt where any has")

    def __len__(self) -> int:
        return len(self.chosen)

    @cached_property
    def fingerprint(self) -> str:
        """Of the texts and their order; not of the file they came from."""
        return sha256_of_parts([str(len(self)), *self.chosen, *self.rejected, *self.prompts])


def matched(chosen: Sequence[str], rejected: Sequence[str]) -> TextPairs:
    """Pairs of two classes of texts, the first with the first and so on; what one class has more is in none."""
    count = min(len(chosen), len(rejected))
    return TextPairs(tuple(chosen[:count]), tuple(rejected[:count]))


def read_pairs(path: str | Path, what: str) -> TextPairs:
    """Reads pairs from a table: `chosen` and `rejected`, with or without `prompt`; or `neutral` and `toxic`.

    Args:
        path: a file, or files of a dataset on the hub, see `surgery.texts.tables.read_table`.
        what: it is, for errors: the key it was given as.

    Raises:
        InputError: when the table can't be read, lacks a column, or has a row without a text in it.
    """
    table = read_table(path, what)
    prompts = _texts(table, PROMPT) if PROMPT in table.columns else ()
    return TextPairs(_texts(table, _called(table, CHOSEN)), _texts(table, _called(table, REJECTED)), prompts)


def _called(table: Table, names: Sequence[str]) -> str:
    for name in names:
        if name in table.columns:
            return name
    raise InputError(
        f"{table.what} '{table.path}' holds no pairs: none of its columns ({', '.join(map(str, table.columns))}) is "
        f"called {' or '.join(names)}"
    )


def _texts(table: Table, name: str) -> tuple[str, ...]:
    column = table.column(name)
    for place, value in zip(table.places, column, strict=True):
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{table.what} '{table.path}' has no text in column {name} of {place}; leave that row out")
    return tuple(column)
