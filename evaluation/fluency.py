"""Whether continuations are still language: repetition, variety, and a world's own checks."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from evaluation.measurements.measurement import JSON
from surgery.errors import InputError

# A word, or one mark: so that "!!!!!!" is six tokens that repeat and not one.
_TOKEN = re.compile(r"\w+|[^\w\s]")

MEASURES = ("repetition", "distinct_2", "length")


@dataclass(frozen=True)
class Check:
    """A world's own judgement of a continuation.

    Attributes:
        function: of the continuation; says whether it is well. A `functools.partial` of one will do.
        version: of what it says: raise it whenever it judges some text otherwise, since results are known by it.
    """

    function: Callable[[str], bool]
    version: int

    def __call__(self, text: str) -> bool:
        return bool(self.function(text))

    def identity(self) -> dict[str, JSON]:
        """The function's name, what it is given besides, and the version.

        Raises:
            InputError: for something that is no named function, or arguments that JSON can't hold.
        """
        function, given = self.function, []
        while isinstance(function, partial):
            given.append([list(function.args), dict(sorted(function.keywords.items()))])
            function = function.func
        name = getattr(function, "__qualname__", None)
        if not callable(function) or name is None:
            raise InputError(f"a fluency check is a named function of the continuation, not {self.function!r}")
        try:
            arguments: JSON = json.loads(json.dumps(given))
        except (TypeError, ValueError):
            raise InputError(
                f"the fluency check {name} is given what JSON can't hold; give it texts and numbers"
            ) from None
        return {"function": f"{function.__module__}.{name}", "arguments": arguments, "version": self.version}


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
        checks: {name: a `Check`}; each gives `fluency/<name>`. An empty text is given to them too.
    """

    n: int = 3
    checks: Mapping[str, Check] = field(default_factory=dict)

    # A model that only thinks says nothing.
    of_no_answer: ClassVar[Sequence[str]] = ("fluency/*",)

    def check(self) -> None:
        """Raises InputError when n is not positive, a check can't be called or has the name of a measure."""
        if self.n < 1:
            raise InputError(f"the n of fluency's n-grams is {self.n}; it has to be 1 or more")
        for name, function in self.checks.items():
            if not isinstance(function, Check):
                raise InputError(
                    f"the fluency check '{name}' is {function!r}; give evaluation.fluency.Check with a function and "
                    "the version of what it says"
                )
            function.identity()
            if name in MEASURES:
                raise InputError(f"a fluency check can't be called '{name}': that is measured already; rename it")

    def prepare(self) -> None:
        """Nothing is needed beside the model."""

    def identity(self) -> dict[str, JSON]:
        """n, what is measured, and the checks by their names and versions."""
        return {
            "kind": "fluency",
            "n": self.n,
            "measures": list(MEASURES),
            "checks": {name: function.identity() for name, function in self.checks.items()},
        }

    def metric_names(self) -> list[str]:
        """See `evaluation.evaluator.NamesMetrics`."""
        return [f"fluency/{name}" for name in (*MEASURES, *self.checks)]

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """`fluency/repetition`, `fluency/distinct_2` (0 to 1), `fluency/length` and each check (0 or 1); [n] each."""
        words = [_TOKEN.findall(text) for text in continuations]
        scores = {
            "fluency/repetition": [repetition(tokens, self.n) for tokens in words],
            "fluency/distinct_2": [distinct(tokens, 2) for tokens in words],
            "fluency/length": [float(len(tokens)) for tokens in words],
        }
        for name, function in self.checks.items():
            scores[f"fluency/{name}"] = [float(function(text)) for text in continuations]
        return {name: np.array(values, dtype=np.float64) for name, values in scores.items()}


def distinct(tokens: Sequence[str], n: int) -> float:
    """Share of the n-grams that are distinct; 0 where there is none."""
    grams = [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def repetition(tokens: Sequence[str], n: int) -> float:
    """Share of the n-grams that occurred before; n is at most the number of tokens, and no token at all gives 1."""
    return 1.0 - distinct(tokens, min(n, len(tokens))) if tokens else 1.0
