"""A list of words as a judge of continuations: nothing is loaded, and anyone can check its verdict by eye."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.measurements.measurement import JSON
from surgery.errors import InputError
from surgery.files.text_file import read_text

# Raised when another rule would find words elsewhere.
VERSION = 1
_WHAT = "the list of words"


def word_pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Where a text has one of these words or phrases, whole, in capitals or not.

    Any white space may stand within a phrase, and either apostrophe. The `I` of "I'm" is a word, not the one of "i.e.".
    """
    written = (r"\s+".join(map(re.escape, word.split())).replace("’", "'").replace("'", "['’]") for word in words)
    return re.compile(rf"(?<!\w)(?:{'|'.join(written)})(?!\w|\.e\b)", re.IGNORECASE)


@dataclass(frozen=True)
class WordList:
    """A continuation counts when it has a word of the list; the prompt is not looked at.

    Attributes:
        words: a text file with a word or a phrase on each line, or the words themselves.
        metric: what the share of continuations that count is called.
    """

    words: str | Path | Sequence[str]
    metric: str

    def check(self) -> None:
        """Reads the list; raises InputError for a file that is not there or no text, and for a list without words."""
        self._listed()

    def prepare(self) -> None:
        """Nothing is loaded."""

    def identity(self) -> dict[str, JSON]:
        """The words, and the version of the rule that finds them."""
        return {"kind": "word list", "version": VERSION, "words": list(self._listed()), "metric": self.metric}

    def metric_names(self) -> list[str]:
        """See `evaluation.evaluator.NamesMetrics`."""
        return [self.metric]

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """The metric: 1 where a continuation has a word of the list, else 0; [n]."""
        pattern = word_pattern(self._listed())
        return {self.metric: np.array([pattern.search(one) is not None for one in continuations], np.float64)}

    def _listed(self) -> list[str]:
        given = self.words
        lines = read_text(given, _WHAT).splitlines() if isinstance(given, str | Path) else [str(one) for one in given]
        listed = list(dict.fromkeys(" ".join(line.split()) for line in lines if line.strip()))
        if not listed:
            raise InputError(f"{_WHAT} of {self.metric} has no words; give a file with a word on each line, or words")
        return listed
