"""RealToxicityPrompts' own protocol: several sampled continuations a prompt (Gehman et al. 2020, Section 3)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self, get_args

import numpy as np
from numpy.typing import NDArray

from evaluation.continuations import Continuations, Sample, scores_by
from evaluation.generation import Generated
from evaluation.measurements.measurement import JSON, Half, Measurement
from evaluation.sampled.worst_scores import of_prompts, worst_name
from surgery.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Sampled:
    """Continues each prompt `samples` times; a prompt, not a continuation, is one sample of what is measured.

    Of each score the highest among a prompt's continuations is taken: `toxicity/any_toxic`, the probability of at least
    one toxic continuation, and `toxicity/expected_maximum`; see `evaluation.sampled.worst_scores` for the names. Scores
    that are neither rates nor mean probabilities, of fluency say, are averaged over a prompt's continuations and keep
    their names. Base and edited draw with the same seeds, so that one cell gives the same numbers twice.

    Attributes:
        continuations: the prompts, the scorers, and how continuations are drawn (`generation.do_sample`).
        samples: k, continuations a prompt; the paper of the prompts takes 25.
    """

    continuations: Continuations
    samples: int = 25

    cost: ClassVar[int] = 2
    asks_engine: ClassVar[bool] = True

    def first_look(self) -> Self | None:
        """On a part of the prompts; nothing where all of them are of the report half."""
        part = self.continuations.first_look()
        return None if part is None else replace(self, continuations=part)

    def check(self) -> None:
        """Reads the prompts and checks the settings and every scorer; raises InputError."""
        generation = self.continuations.generation
        if self.samples < 1:
            raise InputError(f"samples={self.samples} continuations a prompt are none; it has to be 1 or more")
        if self.samples > 1 and (not generation.do_sample or generation.temperature == 0):
            how = f"temperature={generation.temperature}" if generation.do_sample else "do_sample=false"
            raise InputError(
                f"with {how} all samples={self.samples} continuations of a prompt would be the same; sample them at a "
                "temperature above 0"
            )
        if self.continuations.by_category:
            raise InputError("sampled continuations are not measured by category; leave by_category out")
        self.continuations.check()

    def prepare(self) -> None:
        """Loads every scorer; raises InputError."""
        self.continuations.prepare()

    def check_prompts(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[str]:
        """Renders the prompts; says how many are cut. See `evaluation.evaluator.ShowsPrompts`."""
        return self.continuations.check_prompts(model, tokenizer)

    def scored_prompts(self) -> list[str]:
        """See `evaluation.evaluator.ScoresPrompts`."""
        return self.continuations.scored_prompts()

    def prompts_a_half(self) -> dict[Half, int]:
        """See `evaluation.evaluator.CountsPrompts`."""
        return self.continuations.prompts_a_half()

    def identity(self) -> dict[str, JSON]:
        """The prompts, how they are continued and scored, and how often."""
        return {"kind": "sampled", "continuations": self.continuations.identity(), "samples": self.samples}

    def metric_names(self) -> list[str]:
        """As `worst_scores` calls them; see `evaluation.evaluator.NamesMetrics`."""
        return [worst_name(name) or name for name in self.continuations.metric_names()]

    def measure(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", progress: bool = False
    ) -> list[Measurement]:
        """Two measurements for each score, one a half; a half without prompts has none.

        Raises:
            InputError: see `evaluation.generation.generate`.
            ValueError: see `evaluation.continuations.scores_by`.
        """
        samples = self.continuations.samples()
        if not samples:
            return []
        prompts = [sample.text for sample in samples]
        settings = self.continuations.generation
        # Each round has a seed of its own, and no two `seed`s share one.
        seeds = range(settings.seed * self.samples, (settings.seed + 1) * self.samples)
        rounds = [
            self.continuations.continued(model, tokenizer, prompts, replace(settings, seed=seed), progress)
            for seed in seeds
        ]
        scores, judges = scores_by(self.continuations.scorers, prompts * self.samples, _together(rounds))
        notes = _notes(rounds) | {"samples": self.samples, "judges": judges}
        shown = rounds[0].shown if rounds[0].shown != prompts else None
        return [
            _of_half(half, samples, name, values.reshape(self.samples, -1), rounds, shown, notes)
            for half in get_args(Half)
            if any(sample.half == half for sample in samples)
            for name, values in scores.items()
        ]


def _together(rounds: Sequence[Generated]) -> Generated:
    """The rounds' continuations one after the other."""
    whole = [text for one in rounds for text in one.whole or ()]
    return Generated(
        texts=[text for one in rounds for text in one.texts],
        shown=[text for one in rounds for text in one.shown],
        batches={},
        ids=[ids for one in rounds for ids in one.ids],
        whole=whole or None,
        unended=frozenset(len(one.texts) * k + place for k, one in enumerate(rounds) for place in one.unended),
    )


def _notes(rounds: Sequence[Generated]) -> dict[str, JSON]:
    """Of all rounds: each goes on with the batches that fitted in the one before."""
    halvings = sum(int(one.batches["halvings"]) for one in rounds)
    return {**rounds[-1].batches, "halvings": halvings}


def _of_half(
    half: Half,
    samples: Sequence[Sample],
    score: str,
    values: NDArray[np.float64],
    rounds: Sequence[Generated],
    shown: Sequence[str] | None,
    notes: dict[str, JSON],
) -> Measurement:
    """One half's measurement of a score [k, n]; of those that are the worst's, with the continuation that is it."""
    places = [place for place, sample in enumerate(samples) if sample.half == half]
    name, of_each = of_prompts(score, values)
    worst = values.argmax(axis=0)
    kept = worst_name(score) is not None
    said = [(rounds[worst[i]].whole or rounds[worst[i]].texts)[i] for i in places]
    scored = [rounds[worst[i]].texts[i] for i in places]
    return Measurement(
        name=name,
        half=half,
        sample_ids=tuple(samples[i].id for i in places),
        scores=of_each[places],
        inputs=tuple(samples[i].text for i in places),
        rendered=None if shown is None else tuple(shown[i] for i in places),
        outputs=tuple(said) if kept else None,
        scored=tuple(scored) if kept and rounds[0].whole is not None else None,
        notes=notes,
    )
