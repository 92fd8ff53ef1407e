"""Several sets of prompts under the same measurements: each metric of all of them together, and of each set alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from evaluation.continuations import Continuations
from evaluation.measurements.measurement import JSON, Measurement
from surgery.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class PromptSets:
    """`NAME` is of the prompts of all sets that measure it, `NAME/SET` of one.

    Attributes:
        sets: {name: its prompts and scorers}; None, or no prompts, leaves one out.
    """

    sets: Mapping[str, Continuations | None]

    cost: ClassVar[int] = 2

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
        """What the sets say; raises InputError."""
        return [said for one in self._given().values() for said in one.check_prompts(model, tokenizer)]

    def identity(self) -> dict[str, JSON]:
        """What the sets are."""
        return {"kind": "prompt sets", "sets": {name: one.identity() for name, one in self._given().items()}}

    def measure(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", progress: bool = False
    ) -> list[Measurement]:
        """The metrics of all sets together, then of each; raises InputError."""
        measured = {name: one.measure(model, tokenizer, progress) for name, one in self._given().items()}
        together: dict[tuple[str, str], list[tuple[str, Measurement]]] = {}
        for name, measurements in measured.items():
            for one in measurements:
                together.setdefault((one.name, one.half), []).append((name, one))
        each = [
            replace(one, name=f"{one.name}/{name}") for name, measurements in measured.items() for one in measurements
        ]
        return [*(_joined(parts) for parts in together.values()), *each]

    def scored_prompts(self) -> list[str]:
        """Of all sets; see `evaluation.evaluator.ScoresPrompts`."""
        return [prompt for one in self._given().values() for prompt in one.scored_prompts()]

    def _given(self) -> dict[str, Continuations]:
        return {name: one for name, one in self.sets.items() if one is not None and one.prompts}


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
