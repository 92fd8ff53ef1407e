"""A small classifier of the behavior's own labelled texts, as a judge of continuations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from evaluation.continuations import Judged
from evaluation.inputs.behavior_texts import SEED, behavior_texts, parts
from evaluation.measurements.measurement import JSON
from surgery.errors import InputError
from surgery.texts.text_split import same_texts
from surgery.texts.texts import LabelledTexts

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# Raised when other features or another classifier would judge otherwise.
VERSION = 1
FOLDS = 5
# In each class, of different held-out texts: each fold needs two of both.
FEWEST = 10


@dataclass(frozen=True)
class ProbeTexts:
    """A continuation counts when a logistic regression on words and letters takes it for the avoided class.

    It is fitted on a held-out part of the behavior's texts: those that a probe of seed 0 is tested on and not trained
    on. Its accuracy, measured on them in five folds, stands beside every number: a judge of few texts may be poor.

    Attributes:
        texts: of the behavior: `path`, `text`, `label`, `avoid` and the other keys of `behavior` that say which texts
            it has.
        share: of the different texts that is held out; the probe's `test_share`.
        name: of the metrics, `guard/<name>/…`.
        threshold: from which probability of the avoided class on a continuation counts.
    """

    texts: Mapping[str, Any]
    share: float = 0.1
    name: str = "probe-texts"
    threshold: float = 0.5

    # The judge's own, whatever it reads.
    of_no_answer: ClassVar[Sequence[str]] = ("*/accuracy",)

    def check(self) -> None:
        """Reads the texts; raises InputError when too few are held out."""
        texts = self._read()
        held_out = self._held_out(texts)
        copies = same_texts([texts.texts[i] for i in held_out])
        different = {number: texts.labels[i] for number, i in zip(copies, held_out, strict=True)}
        for label, name in enumerate(texts.classes):
            if (count := sum(one == label for one in different.values())) < FEWEST:
                raise InputError(
                    f"the judge probe-texts has {count} held-out texts of class '{name}' and needs {FEWEST}; give more "
                    f"texts, or hold out more of them with probe.test_share (it is {self.share})"
                )

    def prepare(self) -> None:
        """Fits the classifier."""
        self._fitted()

    def identity(self) -> dict[str, JSON]:
        """The texts by content, what is held out, and the version of the classifier."""
        return {
            "kind": "probe texts",
            "version": VERSION,
            "texts": self._read().fingerprint,
            "share": self.share,
            "name": self.name,
            "threshold": self.threshold,
        }

    def metric_names(self) -> list[str]:
        """See `evaluation.evaluator.NamesMetrics`."""
        return [f"guard/{self.name}/{name}" for name in ("avoided_rate", "mean", "accuracy")]

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> Judged:
        """`guard/<name>/avoided_rate` (0 or 1), `…/mean` (the probability), `…/accuracy` (the judge's); [n] each."""
        classifier, accuracy, size = self._fitted()
        found: NDArray[np.float64] = classifier.predict_proba(list(continuations))[:, 1]
        scores = {
            f"guard/{self.name}/avoided_rate": (found >= self.threshold).astype(np.float64),
            f"guard/{self.name}/mean": found,
            f"guard/{self.name}/accuracy": np.full(len(found), accuracy),
        }
        return Judged(scores, {"judge_texts": size, "judge_accuracy": accuracy})

    def _read(self) -> LabelledTexts:
        return behavior_texts(self.texts)

    def _held_out(self, texts: LabelledTexts) -> list[int]:
        _, test = parts(texts, self.share)
        return [int(i) for i in test]

    def _fitted(self) -> "tuple[Pipeline, float, int]":
        texts = self._read()
        held_out = self._held_out(texts)
        return _fit(tuple(texts.texts[i] for i in held_out), tuple(texts.labels[i] for i in held_out))


def _classifier() -> "Pipeline":
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    regression = LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000, random_state=SEED)
    return make_pipeline(make_union(words, letters), regression)


@lru_cache(maxsize=4)
def _fit(texts: tuple[str, ...], labels: tuple[int, ...]) -> "tuple[Pipeline, float, int]":
    """(the classifier of all texts, the accuracy of classifiers that did not see what they judge, how many texts)."""
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_score

    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    # Copies of a text stay in one fold.
    scores = cross_val_score(_classifier(), texts, labels, cv=folds, groups=same_texts(texts))
    return _classifier().fit(texts, labels), float(scores.mean()), len(texts)
