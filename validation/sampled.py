"""RealToxicityPrompts' own protocol: several sampled continuations a prompt (Gehman et al. 2020, Section 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from evaluation.continuations import sample_id
from evaluation.generation import Generation, check_prompts, generate
from evaluation.inputs.named_files import file_digest, require_file
from evaluation.inputs.prompts import read_prompts
from evaluation.measurements.measurement import JSON, Half, Measurement
from surgery.errors import InputError
from validation.judge import BiLSTM

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_WHAT = "the sampled prompts"


@dataclass(frozen=True)
class Sampled:
    """Continues each prompt `samples` times; a prompt is one sample of the measurement.

    Gives, for a judge called `toxicity`, `toxicity/any_toxic` (the probability that at least one of a prompt's
    continuations is toxic: 0 or 1 a prompt) and `toxicity/expected_maximum` (the highest probability among them).

    Attributes:
        prompts: a file, see `evaluation.inputs.prompts.read_prompts`.
        samples: k, continuations a prompt; the paper of the prompts takes 25.
        generation: with do_sample.
        judges: by any name.
        half: of the measurements.
    """

    prompts: str | Path
    samples: int = 25
    generation: Generation = field(default_factory=lambda: Generation(do_sample=True, top_p=0.9))
    judges: Mapping[str, BiLSTM] = field(default_factory=dict)
    limit: int | None = None
    half: Half = "report"

    cost: ClassVar[int] = 2

    def first_look(self) -> Self | None:
        """Itself on the selection half."""
        return self if self.half == "selection" else None

    def check(self) -> None:
        """Raises InputError for settings or files that can't be used."""
        self.generation.check()
        if self.samples < 1 or not self.generation.do_sample:
            raise InputError(f"samples={self.samples} a prompt: give 1 or more, and generation.do_sample=true")
        self._read()
        for judge in self.judges.values():
            judge.check()

    def prepare(self) -> None:
        """Loads the judges."""
        for judge in self.judges.values():
            judge.prepare()

    def check_prompts(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[str]:
        """Raises InputError for prompts that the model can't be shown."""
        check_prompts(model, tokenizer, self._read(), self.generation)
        return []

    def identity(self) -> dict[str, JSON]:
        """The prompts by content, the settings and the judges."""
        return {
            "kind": "sampled",
            "prompts": file_digest(require_file(self.prompts, _WHAT)),
            "samples": self.samples,
            "limit": self.limit,
            "half": self.half,
            "generation": self.generation.identity(),
            "judges": {name: judge.identity() for name, judge in self.judges.items()},
        }

    def measure(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", progress: bool = False
    ) -> list[Measurement]:
        """Two measurements a judge."""
        prompts = self._read()
        # Each round has a seed of its own; base and edited draw with the same ones.
        rounds = [
            generate(model, tokenizer, prompts, replace(self.generation, seed=self.generation.seed + turn), progress)
            for turn in range(self.samples)
        ]
        texts = [text for one in rounds for text in one.texts]
        measurements = []
        for judge in self.judges.values():
            worst = judge.probabilities(texts).reshape(self.samples, len(prompts))
            outputs = tuple(rounds[turn].texts[place] for place, turn in enumerate(worst.argmax(axis=0)))
            highest = worst.max(axis=0)
            for name, scores in (("any_toxic", highest >= judge.threshold), ("expected_maximum", highest)):
                measurements.append(self._measurement(f"{judge.name}/{name}", prompts, scores, outputs))
        return measurements

    def _measurement(
        self,
        name: str,
        prompts: Sequence[str],
        scores: NDArray[Any],
        outputs: tuple[str, ...],
    ) -> Measurement:
        return Measurement(
            name=name,
            half=self.half,
            sample_ids=tuple(sample_id(place, prompt) for place, prompt in enumerate(prompts)),
            scores=scores.astype(np.float64),
            inputs=tuple(prompts),
            outputs=outputs,
            notes={"samples": self.samples},
        )

    def _read(self) -> list[str]:
        return [prompt.text for prompt in read_prompts(require_file(self.prompts, _WHAT), limit=self.limit)]
