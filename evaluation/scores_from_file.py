"""Scores that were given elsewhere: by Perspective, by people, by a model that can't be run here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.named_files import file_digest, require_file
from evaluation.measurements.measurement import JSON
from surgery.errors import InputError
from surgery.texts.tables import read_table

_WHAT = "the file of scores"
COLUMNS = ("prompt", "continuation", "score")


@dataclass(frozen=True)
class ImportedScores:
    """Looks each continuation up in a file by its prompt and its text; one that is not there is never guessed.

    Attributes:
        file: a table, as `surgery.texts.tables` reads it, with prompt, continuation and score.
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

    def metric_names(self) -> list[str]:
        """See `evaluation.evaluator.NamesMetrics`."""
        return [f"{self.name}/rate", f"{self.name}/mean"]

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
        table = read_table(self.file, _WHAT)
        columns = [table.column(name) for name in COLUMNS]
        found: dict[tuple[str, str], float] = {}
        for place, *row in zip(table.places, *columns, strict=True):
            if missing := [name for name, value in zip(COLUMNS, row, strict=True) if value is None]:
                raise InputError(f"{_WHAT} '{self.file}' has no {missing[0]} in {place}; it holds {', '.join(COLUMNS)}")
            prompt, continuation, given = row
            try:
                score = float(given)
            except (TypeError, ValueError):
                score = float("nan")
            if not np.isfinite(score):
                raise InputError(f"{_WHAT} '{self.file}' has no number in {place}: {given!r}")
            if found.setdefault((str(prompt), str(continuation)), score) != score:
                raise InputError(f"{_WHAT} '{self.file}' gives one continuation two scores, again in {place}")
        return found
