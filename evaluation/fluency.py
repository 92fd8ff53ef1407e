"""Whether continuations are still language: repetition, variety, and a world's own checks."""

import hashlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from evaluation.measurement import JSON
from surgery.errors import InputError

# A word, or one mark: so that "!!!!!!" is six tokens that repeat and not one.
_TOKEN = re.compile(r"\w+|[^\w\s]")

MEASURES = ("repetition", "distinct_2", "length")


@dataclass(frozen=True)
class Fluency:
    """Signs of a collapsed model, continuation by continuation.

    `fluency/repetition` is the share of n-grams that occurred before in the continuation, 1 − distinct/all (the
    seq-rep-n of Welleck et al. 2020, Neural Text Generation with Unlikelihood Training). A text of fewer than n
    tokens is judged by n-grams of its own length. One without any token scores 1, the worst: a model that says
    nothing must not look fluent.

    `fluency/distinct_2` is the share of bigrams that are distinct (Li et al. 2016, A Diversity-Promoting Objective
    Function for Neural Conversation Models, over bigrams). A text without a bigram scores 0, the worst.

    `fluency/length` is the number of tokens: words and marks, so that it compares across models' tokenizers.

    Attributes:
        n: of the n-grams of `fluency/repetition`.
        checks: {name: a function of the continuation that says whether it is well}; each gives `fluency/<name>`.
            An empty text is given to them too.
    """

    n: int = 3
    checks: Mapping[str, Callable[[str], bool]] = field(default_factory=dict)

    def check(self) -> None:
        """Raises InputError when n is not positive, a check can't be called or has the name of a measure."""
        if self.n < 1:
            raise InputError(f"the n of fluency's n-grams is {self.n}; it has to be 1 or more")
        for name, function in self.checks.items():
            if not callable(function):
                raise InputError(f"the fluency check '{name}' is {function!r}; give a function of the continuation")
            if name in MEASURES:
                raise InputError(f"a fluency check can't be called '{name}': that is measured already; rename it")

    def prepare(self) -> None:
        """Nothing is needed beside the model."""

    def identity(self) -> dict[str, JSON]:
        """n, what is measured, and the checks by their names and the source of their modules."""
        return {
            "kind": "fluency",
            "n": self.n,
            "measures": list(MEASURES),
            "checks": {name: _function_identity(function) for name, function in self.checks.items()},
        }

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """`fluency/repetition`, `fluency/distinct_2` (0 to 1), `fluency/length` and each check (0 or 1); [n] each."""
        words = [_TOKEN.findall(text) for text in continuations]
        scores = {
            "fluency/repetition": [repetition(tokens, self.n) for tokens in words],
            "fluency/distinct_2": [distinct(tokens, 2) for tokens in words],
            "fluency/length": [float(len(tokens)) for tokens in words],
        }
        for name, function in self.checks.items():
            scores[f"fluency/{name}"] = [float(bool(function(text))) for text in continuations]
        return {name: np.array(values, dtype=np.float64) for name, values in scores.items()}


def distinct(tokens: Sequence[str], n: int) -> float:
    """Share of the n-grams that are distinct; 0 where there is none."""
    grams = [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def repetition(tokens: Sequence[str], n: int) -> float:
    """Share of the n-grams that occurred before; n is at most the number of tokens, and no token at all gives 1."""
    return 1.0 - distinct(tokens, min(n, len(tokens))) if tokens else 1.0


def _function_identity(function: Callable[[str], bool]) -> JSON:
    """Its name and the SHA-256 of its module's source; of a partial, its arguments too."""
    if isinstance(function, partial):
        arguments = [repr(argument) for argument in function.args]
        arguments += [f"{name}={value!r}" for name, value in sorted(function.keywords.items())]
        return {"function": _function_identity(function.func), "arguments": list(arguments)}
    named = function if hasattr(function, "__qualname__") else type(function)
    try:
        source = inspect.getsource(inspect.getmodule(named) or named)
    except (OSError, TypeError):
        source = ""
    return f"{named.__module__}.{named.__qualname__} {hashlib.sha256(source.encode()).hexdigest()}"
