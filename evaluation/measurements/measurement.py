"""A measurement: one score for every sample, under one name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

JSON: TypeAlias = "str | int | float | bool | list[JSON] | dict[str, JSON] | None"
Half = Literal["report", "selection"]
Statistic = Literal["mean", "perplexity", "mean_of_means"]
# `NAME/unended` is the share of samples on which a model's thought has not ended.
UNENDED = "unended"


def _frozen(values: NDArray[np.float64]) -> NDArray[np.float64]:
    copy = np.array(values, dtype=np.float64)
    copy.setflags(write=False)
    return copy


@dataclass(frozen=True, eq=False)
class Measurement:
    """Scores of n samples and how they make one number.

    Attributes:
        name: such as `toxicity/toxic_rate` or `lm_eval/toy_facts/acc`.
        half: cells are chosen on `selection` and told on `report`.
        sample_ids: n different names; they pair a base model's scores with an edited one's.
        scores: float64 [n], read-only. For `perplexity` each is the summed negative log-likelihood of a window,
            in nats.
        statistic: `mean`; `perplexity`, exp(sum of scores / sum of weights); or `mean_of_means`, the mean over
            strata of each stratum's mean.
        weights: for `perplexity`, [n]: how many tokens each score is summed over.
        strata: for `mean_of_means`, n names.
        inputs: each sample as it was given.
        rendered: what the model was shown of it, where that is something else: in a chat template, or cut.
        outputs: what it said.
        scored: what of that was scored, where that is something else: without the model's thoughts.
        notes: anything to be kept with the result, such as {"halvings": 2}.

    Raises:
        ValueError: for no samples, scores that are not finite, fields of unequal length, or repeated ids.
    """

    name: str
    half: Half
    sample_ids: tuple[str, ...]
    scores: NDArray[np.float64]
    statistic: Statistic = "mean"
    weights: NDArray[np.float64] | None = None
    strata: tuple[str, ...] | None = None
    inputs: tuple[str, ...] | None = None
    rendered: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    scored: tuple[str, ...] | None = None
    notes: Mapping[str, JSON] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", _frozen(self.scores))
        if self.weights is not None:
            object.__setattr__(self, "weights", _frozen(self.weights))
        for name in ("sample_ids", "strata", "inputs", "rendered", "outputs", "scored"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check()

    def _check(self) -> None:
        if self.half not in get_args(Half) or self.statistic not in get_args(Statistic):
            raise ValueError(f"{self.name}: half {self.half!r} or statistic {self.statistic!r} is unknown")
        if self.scores.ndim != 1 or not len(self.scores):
            raise ValueError(f"{self.name}: scores have the shape {self.scores.shape}; they need one a sample")
        for name in ("sample_ids", "weights", "strata", "inputs", "rendered", "outputs", "scored"):
            values = getattr(self, name)
            if values is not None and len(values) != self.n:
                raise ValueError(f"{self.name}: {self.n} scores, but {len(values)} {name}")
        if not np.isfinite(self.scores).all():
            worst = self.sample_ids[int(np.argmin(np.isfinite(self.scores)))]
            raise ValueError(f"{self.name}: the score of sample {worst} is not finite")
        if len(set(self.sample_ids)) != self.n:
            raise ValueError(f"{self.name}: sample ids repeat")
        if (self.statistic == "perplexity") != (self.weights is not None):
            raise ValueError(f"{self.name}: weights go with the statistic perplexity, and it needs them")
        if self.weights is not None and not (np.isfinite(self.weights) & (self.weights > 0)).all():
            raise ValueError(f"{self.name}: weights have to be positive")
        if (self.statistic == "mean_of_means") != (self.strata is not None):
            raise ValueError(f"{self.name}: strata go with the statistic mean_of_means, and it needs them")

    def only(self, sample_ids: Sequence[str]) -> "Measurement":
        """The same measurement of some of its samples, in the order given; KeyError for one that is not there."""
        place = {sample: index for index, sample in enumerate(self.sample_ids)}
        chosen = [place[sample] for sample in sample_ids]

        def some(values: Sequence[str] | None) -> tuple[str, ...] | None:
            return None if values is None else tuple(values[i] for i in chosen)

        return replace(
            self,
            sample_ids=tuple(sample_ids),
            scores=self.scores[chosen],
            weights=None if self.weights is None else self.weights[chosen],
            strata=some(self.strata),
            inputs=some(self.inputs),
            rendered=some(self.rendered),
            outputs=some(self.outputs),
            scored=some(self.scored),
        )

    @property
    def n(self) -> int:
        """How many samples were scored."""
        return len(self.scores)

    @property
    def summary(self) -> float:
        """The one number, as `statistic` makes it of the scores."""
        if self.weights is not None:
            return float(np.exp(self.scores.sum() / self.weights.sum()))
        if self.strata is not None:
            return float(np.mean([values.mean() for values in by_stratum(self.scores, self.strata)]))
        return float(self.scores.mean())


def by_stratum(values: NDArray[np.float64], strata: tuple[str, ...]) -> list[NDArray[np.float64]]:
    """The values of each stratum, strata in the order they first appear: [n] → k arrays."""
    names, labels = list(dict.fromkeys(strata)), np.array(strata, dtype=object)
    return [values[labels == name] for name in names]
