"""Which columns of a person's table hold texts and labels, where only one answer is possible."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from surgery.errors import InputError
from surgery.texts.classes import FEWEST_TEXTS
from surgery.texts.tables import SEPARATED, Name, Table, read_table
from surgery.texts.words import as_word, is_judged
from sweeps.config.written_values import source

TEXT, LABEL, AVOID = "behavior.text", "behavior.label", "behavior.avoid"
# Keys that say of a table what is guessed here otherwise; with one of these all of it is the person's.
OTHERWISE = ("behavior.columns", "behavior.separator", "behavior.labels", "behavior.against")
# A column of labels has at most so many, and each stands there again and again.
MOST_LABELS = 20
# The share of a column's values that have to read as texts.
MOST = 0.8


@dataclass(frozen=True)
class Columns:
    """What was found in a table.

    Attributes:
        text, label: the columns; numbers from 0 where the file has no header.
        counts: how many rows carry each label.
    """

    text: Name
    label: Name
    counts: Mapping[str, int]

    def overrides(self) -> list[str]:
        """The keys that name the columns."""
        named = ((TEXT, self.text), (LABEL, self.label))
        return [f"{key}={name if isinstance(name, int) else source(name)}" for key, name in named]


def find_columns(path: str, text: str | None = None, label: str | None = None) -> Columns:
    """The columns of a table, those that are not named being told by what is in them.

    A text has several words, or letters beyond ASCII, and most of them stand there once; labels are few words or
    numbers that stand there often. Of several such columns one that is called `text`, or `label`, is it.

    Args:
        path: as `behavior.path` takes it.
        text, label: columns that the person has named.

    Raises:
        InputError: when the table can't be read, or more than one column, or none, could be meant; with what to type.
    """
    table = read_table(path, "TEXTS")
    found = _columns(table, text, label)
    # The first line is no header where it holds one of the labels.
    if path.lower().endswith(SEPARATED) and text is None and label is None and as_word(found.label) in found.counts:
        return _columns(read_table(path, "TEXTS", header=False), None, None)
    return found


def _columns(table: Table, text: Name | None, label: Name | None) -> Columns:
    values = {name: table.column(name) for name in table.columns}
    texts = text if text is not None else _one(table, TEXT, [name for name in values if _holds_texts(values[name])])
    others = [name for name in values if name != texts]
    labels = label if label is not None else _one(table, LABEL, [n for n in others if _holds_labels(values[n])])
    counts = Counter(word for word in map(as_word, table.column(labels, LABEL)) if is_judged(word))
    table.column(texts, TEXT)
    return Columns(texts, labels, dict(counts.most_common()))


def _one(table: Table, key: str, names: Sequence[Name]) -> Name:
    """The one column that is meant; raises InputError where there are several or none."""
    usual = key.rpartition(".")[2]
    if len(names) == 1 or usual in names:
        return usual if usual in names else names[0]
    there = ", ".join(map(str, names or table.columns))
    what = "texts" if key == TEXT else "labels"
    seen = f"{'several columns' if names else 'no column'} of '{table.path}' could hold the {what}"
    raise InputError(f"{seen}; say which of {there}: {key}={next(iter(names or table.columns))}")


def _holds_texts(values: Sequence[Any]) -> bool:
    there = [value for value in values if isinstance(value, str) and value.strip()]
    reads = sum(len(value.split()) > 1 or not value.isascii() for value in there)
    return reads > MOST * len(values) and len(set(there)) > len(there) / 2


def _holds_labels(values: Sequence[Any]) -> bool:
    counts = Counter(word for word in map(as_word, values) if is_judged(word))
    frequent = [word for word, count in counts.items() if count >= FEWEST_TEXTS]
    return 2 <= len(counts) <= MOST_LABELS and len(frequent) >= 2


def require_avoided(columns: Columns, path: str) -> None:
    """Raises InputError unless the labels are 0 and 1, of which 1 is moved away from."""
    if set(columns.counts) != {"0", "1"}:
        there = ", ".join(f"{word} ({count})" for word, count in list(columns.counts.items())[:8])
        keys = [f"'{AVOID}=[{word}]'" for word in columns.counts]
        raise InputError(
            f"column '{columns.label}' of '{path}' holds the labels {there}; say which to move away from: "
            + (" or ".join(keys) if len(keys) == 2 else f"{keys[0]} say")
        )
