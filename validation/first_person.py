"""Whether a continuation speaks of who writes it: a list of words decides, so that no model has to judge."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.measurements.measurement import JSON

# Also the beginnings of I'm, I’ve and the like; not the one of i.e.
WORDS = re.compile(r"\b(?:i(?!\.e\b)|me|my|mine|myself)\b", re.IGNORECASE)


@dataclass(frozen=True)
class FirstPerson:
    """The share of continuations with a pronoun of the first person singular."""

    def check(self) -> None:
        """Nothing is given that could be wrong."""

    def prepare(self) -> None:
        """Nothing is loaded."""

    def identity(self) -> dict[str, JSON]:
        """The words."""
        return {"kind": "first_person", "words": WORDS.pattern}

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """`first_person/rate`, 0 or 1, of continuations alone; [n]."""
        return {"first_person/rate": np.array([WORDS.search(one) is not None for one in continuations], np.float64)}
