"""Several sets of prompts under the same measurements: each metric of all of them together, and of each set alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from evaluation.continuations import Continuations
from evaluation.measurements.measurement import JSON, Half, Measurement
from surgery.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class PromptSets:
    """`NAME` is of the prompts of all sets that measure it, `NAME/SET` of one, `NAME/SET/CATEGORY` of a part of it.

    Attributes:
        sets: {name: its prompts and scorers}; None, or no prompts, leaves one out.
        under: what all of it is called below a metric, where the same sets are measured in several ways:
            `NAME/<under>`, `NAME/<under>/SET`.
        each: patterns of the metrics that are told of each set, too.
    """

    sets: Mapping[str, Continuations | None]
    under: str = ""
    each: Sequence[str] = ("*",)

    cost: ClassVar[int] = 2
    asks_engine: ClassVar[bool] = True

    def first_look(self) -> Self | None:
        """On a part of the prompts of each set that has a selection half."""
        parts = {name: part for name, one in self._given().items() if (part := one.first_look()) is not None}
        return replace(self, sets=parts) if len(parts) == len(self._given()) else None

    def check(self) -> None:
        """Raises InputError for a set that can't be used, and when there is none."""
        if not self._given():
            raise InputError("no set of prompts is given; give one, or leave its measurement out")
        for one in self._given().values():
            one.check()

    def prepare(self) -> None:
        """Loads every scorer; raises InputError."""
        for one in self._given().values():
            one.prepare()

    def check_prompts(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[str]:
        """What the sets say, and that there is no chat template where there is none; raises InputError."""
        found = [said for one in self._given().values() for said in one.check_prompts(model, tokenizer)]
        if not all(one.generation.chat for one in self._given().values()):
            said = "the model is given requests as they are, without a chat template, to go on with"
            has_one = ", though its tokenizer has one: model.chat=true puts them into it"
            found.append(said + has_one * bool(tokenizer.chat_template))
        return found

    def identity(self) -> dict[str, JSON]:
        """What the sets are."""
        return {
            "kind": "prompt sets",
            "sets": {name: one.identity() for name, one in self._given().items()},
            **({"under": self.under} if self.under else {}),
            **({"each": list(self.each)} if tuple(self.each) != ("*",) else {}),
        }

    def metric_names(self) -> list[str]:
        """Of all sets together, of each, and patterns of the categories of those; see `NamesMetrics`."""
        whole: dict[str, None] = {}
        each: list[str] = []
        for name, one in self._given().items():
            for pattern in one.metric_names():
                metric, category = _parted(pattern, one.by_category)
                if not category:
                    whole[self._called(metric)] = None
                if any(fnmatch(metric, wanted) for wanted in self.each):
                    each.append(f"{self._called(metric)}/{name}{category}")
        return [*whole, *each]

    def measure(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", progress: bool = False
    ) -> list[Measurement]:
        """The metrics of all sets together, then of each; raises InputError."""
        together: dict[tuple[str, str], list[tuple[str, Measurement]]] = {}
        each: list[Measurement] = []
        for name, prompts in self._given().items():
            for one in prompts.measure(model, tokenizer, progress):
                metric, category = _parted(one.name, prompts.by_category)
                if not category:
                    together.setdefault((metric, one.half), []).append((name, one))
                if any(fnmatch(metric, pattern) for pattern in self.each):
                    each.append(replace(one, name=f"{self._called(metric)}/{name}{category}"))
        whole = [replace(_joined(parts), name=self._called(metric)) for (metric, _), parts in together.items()]
        return [*whole, *each]

    def _called(self, metric: str) -> str:
        return f"{metric}/{self.under}" if self.under else metric

    def scored_prompts(self) -> list[str]:
        """Of all sets; see `evaluation.evaluator.ScoresPrompts`."""
        return [prompt for one in self._given().values() for prompt in one.scored_prompts()]

    def prompts_a_half(self) -> dict[Half, int]:
        """Of all sets; see `evaluation.evaluator.CountsPrompts`."""
        return dict(sum((Counter(one.prompts_a_half()) for one in self._given().values()), Counter()))

    def _given(self) -> dict[str, Continuations]:
        return {name: one for name, one in self.sets.items() if one is not None and one.prompts}


def _parted(name: str, by_category: Sequence[str]) -> tuple[str, str]:
    """(the metric, `/CATEGORY` or nothing) of what a set measured."""
    metric = next((metric for metric in by_category if name.startswith(f"{metric}/")), name)
    return metric, name.removeprefix(metric)


def _joined(parts: list[tuple[str, Measurement]]) -> Measurement:
    """One measurement of the samples of several, each called by its set."""
    measurements = [one for _, one in parts]
    ids = tuple(f"{name}:{sample}" for name, one in parts for sample in one.sample_ids)
    shown = [one.rendered or one.inputs or () for one in measurements]
    rendered = tuple(text for texts in shown for text in texts)
    scored = tuple(text for one in measurements for text in one.scored or one.outputs or ())
    return replace(
        measurements[0],
        sample_ids=ids,
        scores=np.concatenate([one.scores for one in measurements]),
        inputs=tuple(text for one in measurements for text in one.inputs or ()),
        rendered=rendered if any(one.rendered for one in measurements) else None,
        outputs=tuple(text for one in measurements for text in one.outputs or ()),
        scored=scored if any(one.scored for one in measurements) else None,
    )
