"""Labelled texts: what a behavior is, read from anyone's table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_parts
from surgery.texts.classes import FEWEST_TEXTS, Classes, SortedTexts
from surgery.texts.labels import Labelled, from_flags, from_one_column, from_text_columns
from surgery.texts.tables import SEPARATED, read_table
from surgery.texts.words import text_key


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with label 1 (the behavior to move away from) or 0 (the rest).

    Attributes:
        texts, labels: n of each, in the order of the file.
        classes: names of class 0 and class 1.
        left_out: rows of the file that gave no text, and why, in words; empty when there are none.
    """

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, str]
    left_out: str = ""

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def fingerprint(self) -> str:
        """Of the texts, their order and labels; not of the file they came from."""
        return sha256_of_parts([*self.texts, bytes(self.labels)])

    @property
    def repeated(self) -> str:
        """How many texts stand there more than once, in words; empty when none does."""
        several = [labels for labels in self._copies if len(labels) > 1]
        if not several:
            return ""
        contrary = f", {self.contrary} of them with both labels" * bool(self.contrary)
        return f"{len(several)} texts stand there more than once, in {sum(map(len, several))} rows{contrary}"

    @property
    def contrary(self) -> int:
        """How many texts stand there with both labels."""
        return sum(len(set(labels)) > 1 for labels in self._copies)

    @cached_property
    def _copies(self) -> list[list[int]]:
        """The labels of each different text."""
        labels: dict[str, list[int]] = {}
        for text, label in zip(self.texts, self.labels, strict=True):
            labels.setdefault(text_key(text), []).append(label)
        return list(labels.values())


def read_texts(
    path: str | Path,
    text: str | int | Sequence[str],
    label: str | int | Sequence[str] | None,
    *,
    avoid: Sequence[object] = (1,),
    against: Sequence[object] = (),
    labels: Mapping[str, Sequence[object]] | None = None,
    separator: str | None = None,
    columns: Sequence[str] = (),
    balance: bool = False,
    limit: int | None = None,
    seed: int = 0,
    where_else: str = "",
) -> LabelledTexts:
    """Reads labelled texts from CSV, TSV, JSON, JSON lines or parquet, here or on the hub.

    Args:
        path: a UTF-8 file, or `hf://datasets/OWNER/NAME@REVISION/PATTERN`.
        text, label: column names; whole numbers for the columns of a CSV or TSV file without a header, from 0.
            Several label columns hold 1 where a row carries that label (none at all is one of the other class);
            several text columns are each the label of their texts, and then there is no label column.
        avoid: label values to move away from; they become class 1.
        against: label values of class 0; empty for all others. Rows with labels of both classes are left out, and so
            are those without a judgement (see `surgery.texts.words`), unless it is named here or in `avoid` or
            `labels`.
        labels: {class: its label values}, so that classes can be named in `avoid` and `against`.
        separator: what stands between several labels in one cell; lists in JSON and parquet need none.
        columns: names for the columns of a CSV or TSV file whose first line names none of them.
        balance: leave out texts of the larger class, drawn with the seed, until both are of one size.
        limit: at most so many texts, drawn with a fixed seed so that each class keeps its share.
        seed: of these draws.
        where_else: where the table can be had, for errors.

    Raises:
        InputError: when the table can't be had or read; when a column is not there; when a class has fewer than
            10 different texts.
    """
    classes = Classes(avoid, against, labels or {})
    sorted_texts = SortedTexts.of(_rows(path, text, label, separator, columns, where_else), classes)
    sorted_texts.require_both(classes, path)
    chosen, reasons = sorted_texts.chosen, sorted_texts.left_out()
    if balance:
        size = min(Counter(value for _, value in chosen).values())
        reasons += [f"{len(chosen) - 2 * size} to balance the classes"] * (len(chosen) > 2 * size)
        chosen = _drawn(chosen, {0: size, 1: size}, seed)
    if limit is not None and limit < len(chosen):
        reasons.append(f"{len(chosen) - limit} beyond behavior.limit")
        chosen = _limited(chosen, limit, seed)
    return LabelledTexts(
        tuple(content for content, _ in chosen),
        tuple(value for _, value in chosen),
        classes.names,
        ", ".join(reasons),
    )


def _rows(
    path: str | Path,
    text: str | int | Sequence[str],
    label: str | int | Sequence[str] | None,
    separator: str | None,
    columns: Sequence[str],
    where_else: str,
) -> list[Labelled]:
    """Every text of the table with its labels, whatever the layout."""
    header = not (isinstance(text, int) and isinstance(label, int))
    if not header and Path(path).suffix.lower() not in SEPARATED:
        raise InputError(f"columns by number are for .csv and .tsv files without a header, not '{Path(path).name}'")
    table = read_table(path, "behavior.path", header=header, names=columns, where_else=where_else)
    if not isinstance(text, str | int):
        if label is not None:
            raise InputError(
                "behavior.text names several columns, which are labels themselves; say behavior.label=null"
            )
        return from_text_columns(table, text)
    if label is None:
        raise InputError("behavior.label is not given; name the column that holds the labels")
    if isinstance(label, str | int):
        return from_one_column(table, text, label, separator)
    return from_flags(table, text, label)


def _limited(chosen: list[tuple[str, int]], limit: int, seed: int) -> list[tuple[str, int]]:
    """At most so many, each class keeping its share."""
    if limit < 2 * FEWEST_TEXTS:
        raise InputError(f"behavior.limit={limit} is below the {2 * FEWEST_TEXTS} texts a probe needs")
    counts = Counter(value for _, value in chosen)
    share = {value: max(FEWEST_TEXTS, round(limit * counts[value] / len(chosen))) for value in (0, 1)}
    share[0] = min(share[0], limit - share[1])
    return _drawn(chosen, share, seed)


def _drawn(chosen: list[tuple[str, int]], sizes: Mapping[int, int], seed: int) -> list[tuple[str, int]]:
    """So many of each class, in the order they had."""
    frame = pd.DataFrame(chosen, columns=["text", "label"])
    parts = [frame[frame.label == value].sample(n=count, random_state=seed) for value, count in sizes.items()]
    return [chosen[index] for index in sorted(pd.concat(parts).index)]
