"""Labelled texts: what a behavior is, read from anyone's table."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from surgery.errors import InputError
from surgery.files import sha256_of_parts

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
FEWEST_TEXTS = 10


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


def _as_word(label: object) -> str:
    """Labels compare as words, so that 1, 1.0, true and '1' are the same label."""
    if isinstance(label, bool):
        return str(int(label))
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label).strip()


def _read_table(path: Path, header: bool) -> pd.DataFrame:
    first_row = 0 if header else None
    if path.suffix == ".csv":
        return pd.read_csv(path, header=first_row, dtype=str, encoding="utf-8", keep_default_na=False)
    if path.suffix == ".tsv":
        # In tab-separated files a quotation mark is a character like any other.
        return pd.read_csv(
            path, sep="\t", header=first_row, dtype=str, encoding="utf-8", keep_default_na=False, quoting=3
        )
    if path.suffix == ".jsonl":
        return pd.read_json(path, lines=True, dtype=False, encoding="utf-8")
    return pd.read_parquet(path)


def _table(path: Path, header: bool) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"behavior.path '{path}' is not there; give a {', '.join(FORMATS)} file")
    if path.suffix not in FORMATS:
        raise InputError(f"behavior.path '{path}' is of an unknown kind; it is one of {', '.join(FORMATS)}")
    if path.stat().st_size == 0:
        raise InputError(f"behavior.path '{path}' is empty")
    try:
        table = _read_table(path, header)
    except UnicodeDecodeError as error:
        raise InputError(f"behavior.path '{path}' is not UTF-8 ({error.reason} at byte {error.start})") from None
    except (ValueError, OSError) as error:  # pandas' and pyarrow's parser errors are ValueErrors
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"behavior.path '{path}' can't be read as {path.suffix[1:]}: {reason}") from None
    if table.empty:
        raise InputError(f"behavior.path '{path}' holds no rows")
    return table


def _column(table: pd.DataFrame, key: str, name: str | int, path: Path) -> list[Any]:
    if name not in table.columns:
        columns = ", ".join(str(column) for column in table.columns)
        raise InputError(f"behavior.{key}={name} is no column of '{path}'; its columns are {columns}")
    values: list[Any] = table[name].tolist()
    return values


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
    return {word for word in map(_as_word, labels) if word}


def _label(words: set[str], avoid: set[str], against: set[str]) -> int | None:
    """1, 0, or None for a row that belongs to neither class or to both."""
    avoided = bool(words & avoid)
    if not against:
        return int(avoided) if words else None
    other = bool(words & against)
    return int(avoided) if avoided != other else None


def read_texts(
    path: str | Path,
    text: str | int,
    label: str | int,
    *,
    avoid: Sequence[object] = (1,),
    against: Sequence[object] = (),
    separator: str | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> LabelledTexts:
    """Reads labelled texts from CSV, TSV, JSON lines or parquet.

    Args:
        path: the file, UTF-8.
        text, label: column names; whole numbers for the columns of a CSV or TSV file without a header, from 0.
        avoid: label values to move away from; they become class 1.
        against: label values of class 0; empty for all others. Rows with labels of both classes are left out.
        separator: what stands between several labels in one cell; lists in JSON lines and parquet need none.
        limit: at most so many texts, drawn with a fixed seed so that each class keeps its share.
        seed: of that draw.

    Raises:
        InputError: when the file is missing, empty, not UTF-8 or unreadable; when a column is not there; when a
            class has fewer than 10 texts.
    """
    path = Path(path).expanduser()
    header = not (isinstance(text, int) and isinstance(label, int))
    if not header and path.suffix not in (".csv", ".tsv"):
        raise InputError(f"columns by number are for .csv and .tsv files without a header, not '{path.name}'")
    table = _table(path, header)
    cells, texts = _column(table, "label", label, path), _column(table, "text", text, path)
    avoid_words, against_words = {_as_word(word) for word in avoid}, {_as_word(word) for word in against}
    if both := avoid_words & against_words:
        raise InputError(f"label '{min(both)}' is both in behavior.avoid and in behavior.against")
    words = [_words(cell, separator) for cell in cells]
    chosen: list[tuple[str, int]] = []
    empty = unlabelled = 0
    for content, found in zip(texts, words, strict=True):
        value = _label(found, avoid_words, against_words)
        if not isinstance(content, str) or not content.strip():
            empty += 1
        elif value is None:
            unlabelled += 1
        else:
            chosen.append((content, value))
    classes = (" ".join(sorted(against_words)) or "other", " ".join(sorted(avoid_words)))
    _require_both_classes(chosen, words, avoid_words, against_words, path)
    if limit is not None:
        chosen = _limited(chosen, limit, seed)
    reasons = [f"{empty} without text"] * bool(empty) + [f"{unlabelled} of neither class or of both"] * bool(unlabelled)
    return LabelledTexts(
        tuple(content for content, _ in chosen), tuple(value for _, value in chosen), classes, ", ".join(reasons)
    )


def _require_both_classes(
    chosen: list[tuple[str, int]], words: list[set[str]], avoid: set[str], against: set[str], path: Path
) -> None:
    counts = Counter(value for _, value in chosen)
    for value, key, wanted in ((1, "avoid", avoid), (0, "against", against)):
        if counts[value] < FEWEST_TEXTS:
            seen = [word for word, _ in Counter(word for found in words for word in found).most_common(8)]
            asked = f"behavior.{key}={sorted(wanted)}" if wanted else "the class of all other labels"
            raise InputError(
                f"{asked} gives {counts[value]} texts in '{path}', fewer than the {FEWEST_TEXTS} a probe needs; "
                f"the labels there are {', '.join(seen) or 'none'}"
            )


def _limited(chosen: list[tuple[str, int]], limit: int, seed: int) -> list[tuple[str, int]]:
    if limit >= len(chosen):
        return chosen
    if limit < 2 * FEWEST_TEXTS:
        raise InputError(f"behavior.limit={limit} is below the {2 * FEWEST_TEXTS} texts a probe needs")
    frame = pd.DataFrame(chosen, columns=["text", "label"])
    share = {
        value: max(FEWEST_TEXTS, round(limit * int((frame.label == value).sum()) / len(frame))) for value in (0, 1)
    }
    share[0] = min(share[0], limit - share[1])
    parts = [frame[frame.label == value].sample(n=count, random_state=seed) for value, count in share.items()]
    return [chosen[index] for index in sorted(pd.concat(parts).index)]
