"""Judges side by side on the same continuations, and how far they agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from evaluation.continuations import Judged
from evaluation.judge.guard import Guard
from evaluation.measurements.measurement import JSON
from surgery.errors import InputError


@dataclass(frozen=True)
class SideBySide:
    """Every judge's metrics, and of each two the share of equal verdicts and Cohen's kappa.

    Kappa is (p_o − p_e) / (1 − p_e), with p_e the agreement of two judges that know only how often each says what
    (Cohen 1960). Each continuation's score is 1 where they agree and −p_e / (1 − p_e) where not, whose mean is kappa;
    p_e is that of all continuations, of both halves. `unparsed` is a verdict of its own. Where both say one thing of
    everything there is nothing beyond chance to see, and kappa is 0.
    """

    judges: Sequence[Guard]

    # Of all that both have read, where nothing was answered too.
    of_no_answer: ClassVar[Sequence[str]] = ("*/agreement", "*/kappa")

    def check(self) -> None:
        """Raises InputError for a judge that can't be used, and for two of one name."""
        names = [judge.called for judge in self.judges]
        if len(set(names)) < len(names) or len(names) < 2:
            raise InputError(f"judges side by side are two or more of different names; given are {', '.join(names)}")
        for judge in self.judges:
            judge.check()

    def prepare(self) -> None:
        """Loads every judge; raises InputError."""
        for judge in self.judges:
            judge.prepare()

    def identity(self) -> dict[str, JSON]:
        """What the judges are."""
        return {"kind": "side by side", "judges": [judge.identity() for judge in self.judges]}

    def metric_names(self) -> list[str]:
        """See `evaluation.evaluator.NamesMetrics`."""
        two = combinations([judge.called for judge in self.judges], 2)
        agree = [f"guard/{one}~{other}/{name}" for one, other in two for name in ("agreement", "kappa")]
        return [*(name for judge in self.judges for name in judge.metric_names()), *agree]

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> Judged:
        """The judges' own, and `guard/<A>~<B>/agreement` and `…/kappa`; [n] each."""
        scores: dict[str, NDArray[np.float64]] = {}
        batches: dict[str, JSON] = {}
        said: dict[str, list[str]] = {}
        for judge in self.judges:
            judged = judge.score(prompts, continuations)
            scores |= judged
            batches[judge.called] = judged.batches
            said[judge.called] = judge.main_verdicts(judged)
        for (first, ours), (second, theirs) in combinations(said.items(), 2):
            equal = np.array([a == b for a, b in zip(ours, theirs, strict=True)], dtype=np.float64)
            scores[f"guard/{first}~{second}/agreement"] = equal
            scores[f"guard/{first}~{second}/kappa"] = kappa_scores(ours, theirs)
        return Judged(scores, batches)


def kappa_scores(ours: Sequence[str], theirs: Sequence[str]) -> NDArray[np.float64]:
    """[n], whose mean is Cohen's kappa; zeros where it is not defined."""
    from sklearn.metrics import cohen_kappa_score

    equal = np.array([a == b for a, b in zip(ours, theirs, strict=True)])
    if len({*ours, *theirs}) < 2:
        return np.zeros(len(equal))
    kappa, observed = float(cohen_kappa_score(ours, theirs)), float(equal.mean())
    if observed == 1:
        return np.ones(len(equal))
    # Of kappa = observed + (1 − observed) × what a disagreement counts.
    return np.where(equal, 1.0, (kappa - observed) / (1 - observed))
