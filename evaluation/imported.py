"""Scores that were given elsewhere: by Perspective, by people, by a model that can't be run here."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.files import file_digest, read_text, require_file
from evaluation.measurement import JSON
from surgery.errors import InputError

_WHAT = "the file of scores"
COLUMNS = ("prompt", "continuation", "score")


@dataclass(frozen=True)
class ImportedScores:
    """Looks each continuation up in a file by its prompt and its text; one that is not there is never guessed.

    Attributes:
        file: `.csv` or `.jsonl` with prompt, continuation and score.
        name: of the metrics.
        threshold: from which score on a continuation counts for `<name>/rate`.
    """

    file: str | Path
    name: str
    threshold: float = 0.5

    def check(self) -> None:
        """Reads the file; raises InputError."""
        self._scores()

    def prepare(self) -> None:
        """Nothing is needed beside the file."""

    def identity(self) -> dict[str, JSON]:
        """The file's content, the name and the threshold."""
        digest = file_digest(require_file(self.file, _WHAT))
        return {"kind": "imported", "sha256": digest, "name": self.name, "threshold": self.threshold}

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """`<name>/rate` (0 or 1) and `<name>/mean` (the score); [n] each.

        Raises:
            InputError: when a continuation has no score; says how many, and the first.
        """
        known = self._scores()
        pairs = list(zip(prompts, continuations, strict=True))
        if missing := [pair for pair in pairs if pair not in known]:
            raise InputError(
                f"{_WHAT} '{self.file}' lacks {len(missing)} of {len(pairs)} continuations, the first after "
                f"{missing[0][0][:60]!r}: {missing[0][1][:60]!r}; have those of samples.parquet scored too"
            )
        scores = np.array([known[pair] for pair in pairs], dtype=np.float64)
        return {f"{self.name}/rate": (scores >= self.threshold).astype(np.float64), f"{self.name}/mean": scores}

    def _scores(self) -> dict[tuple[str, str], float]:
        path = Path(self.file).expanduser()
        found: dict[tuple[str, str], float] = {}
        for number, row in enumerate(_read(path), 1):
            if missing := [column for column in COLUMNS if row.get(column) is None]:
                raise InputError(f"{_WHAT} '{path}' has no {missing[0]} in row {number}; it holds {', '.join(COLUMNS)}")
            pair = (str(row["prompt"]), str(row["continuation"]))
            try:
                score = float(row["score"])
            except (TypeError, ValueError):
                score = float("nan")
            if not np.isfinite(score):
                raise InputError(f"{_WHAT} '{path}' has no number in row {number}: {row['score']!r}")
            if found.setdefault(pair, score) != score:
                raise InputError(f"{_WHAT} '{path}' gives one continuation two scores, again in row {number}")
        return found


def _read(path: Path) -> list[dict[str, Any]]:
    text = read_text(path, _WHAT)
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    if path.suffix != ".jsonl":
        raise InputError(f"{_WHAT} '{path}' has no known format; it can be .csv or .jsonl")
    try:
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    except json.JSONDecodeError as error:
        raise InputError(f"{_WHAT} '{path}' is not JSON a line: {error.msg}") from None
    return [row if isinstance(row, dict) else {} for row in rows]
