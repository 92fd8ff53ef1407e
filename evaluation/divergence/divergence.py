"""KL(base ‖ edited) over the base's own answers: how far an edit moved a model on prompts where it should not."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, get_args

import numpy as np
from numpy.typing import NDArray

from evaluation.continuations import Continuations, Sample
from evaluation.divergence.distributions import Distributions, divergences, likeliest, read_answers
from evaluation.engines.decoding import Decoder
from evaluation.generation import continue_rows, encode_prompts, prompt_rows
from evaluation.measurements.measurement import JSON, UNENDED, Half, Measurement
from surgery.errors import InputError
from surgery.states.batch_budget import BatchBudget
from surgery.tokens.chat import thoughts_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Fewer prompts than these tell little of how far a model moved; each half has 10.
AT_LEAST = 20


@dataclass(frozen=True)
class Divergence:
    """`divergence/kl` and `divergence/kl_first`: KL(base ‖ edited) in nats, at each token of the base's greedy answers.

    One score a prompt: the mean over its answer's tokens, the one that ends it among them, and the first token alone.
    Both models read the base's answer, so that a token differs by the edit and not by the tokens before it. The base's
    distributions are kept as its `kept` likeliest tokens and one bin for the rest, which makes the score a lower bound
    (see `evaluation.divergence.distributions.divergences`). That of the base is 0. Where thoughts are stripped, the
    base's are read too, and the score is of the tokens that follow them; prompts on which none follow have no score,
    and their share is `divergence/kl/unended`.

    Attributes:
        answers: harmless prompts, and how many tokens are answered (`generation.max_new_tokens`); greedy, no scorers.
        kept: likeliest tokens of a distribution.
    """

    answers: Continuations
    kept: int = 256

    cost: ClassVar[int] = 1

    def first_look(self) -> Self | None:
        """On a part of the prompts; nothing where all of them are of the report half."""
        part = self.answers.first_look()
        return None if part is None else replace(self, answers=part)

    def check(self) -> None:
        """Reads the prompts; raises InputError for too few, and for answers that are not greedy."""
        generation = self.answers.generation
        if generation.do_sample or generation.stop or self.answers.scorers:
            raise InputError(
                "the divergence is measured on greedy answers; leave do_sample, stop and scorers out of its answers"
            )
        if self.kept < 1:
            raise InputError(f"the divergence keeps {self.kept} tokens of a distribution; it has to be 1 or more")
        replace(self.answers, at_least=max(AT_LEAST, self.answers.at_least)).check()

    def prepare(self) -> None:
        """Nothing is needed beside the model."""

    def check_prompts(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[str]:
        """Renders the prompts; says how many are cut. See `evaluation.evaluator.ShowsPrompts`."""
        return self.answers.check_prompts(model, tokenizer)

    def identity(self) -> dict[str, JSON]:
        """The prompts and how they are answered, and how many tokens are kept."""
        return {"kind": "divergence", "answers": self.answers.identity(), "kept": self.kept}

    def metric_names(self) -> list[str]:
        """See `evaluation.evaluator.NamesMetrics`."""
        return ["divergence/kl", "divergence/kl_first", f"divergence/kl/{UNENDED}"]

    def measure(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", progress: bool = False
    ) -> list[Measurement]:
        """Raises InputError: a divergence is of two models, see `keep` and `measure_against`."""
        raise InputError("a divergence is measured against a base: call keep on the base, then measure_against")

    def keep(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path, progress: bool = False
    ) -> list[Measurement]:
        """Answers the prompts with the base and keeps its distributions; see `evaluation.evaluator.AgainstBase`.

        Raises:
            InputError: see `evaluation.generation.check_prompts`.
        """
        import torch

        samples = self.answers.samples()
        texts = [sample.text for sample in samples]
        settings = self.answers.generation
        encoded = encode_prompts(model, tokenizer, texts, settings)
        prompts = prompt_rows(model, tokenizer, encoded)
        _, written, _ = continue_rows(model, tokenizer, prompts, settings, progress)
        decoder = Decoder(model, tokenizer, settings)
        starts = [decoder.answer_start(new) for new in written]
        answered = [i for i, start in enumerate(starts) if start is not None and start < len(written[i])]
        self._require_answers(samples, answered)
        thoughts = [written[i][: starts[i]] for i in answered]
        answers = [written[i][starts[i] :] for i in answered]
        rows = [prompts[i] + thought for i, thought in zip(answered, thoughts, strict=True)]
        budget = BatchBudget.of(model, "loglikelihood", settings.tokens_per_batch)

        def of_piece(logits: "torch.Tensor", places: "torch.Tensor") -> tuple["torch.Tensor", ...]:
            tokens, logs = likeliest(logits, self.kept)
            return tokens.cpu(), logs.cpu()

        made = dict(read_answers(model, rows, answers, budget, of_piece))
        tokens, logs = (torch.cat([made[i][part] for i in range(len(rows))]) for part in (0, 1))
        names = tuple(samples[i].id for i in answered)
        kept = Distributions(names, tuple(answers), tokens, logs, tuple(thoughts) if any(thoughts) else ())
        kept.save(folder)
        zeros = np.zeros(len(answered))
        return self._measurements(tokenizer, samples, kept, encoded.shown, {"kl": zeros, "kl_first": zeros}, budget)

    def measure_against(
        self, kept: Path, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", progress: bool = False
    ) -> list[Measurement]:
        """The divergence of the model as it is now from the base that was kept; see `AgainstBase`.

        Raises:
            InputError: see `evaluation.generation.check_prompts`.
        """
        samples = self.answers.samples()
        if not samples:
            return []
        settings = self.answers.generation
        base = Distributions.load(kept)
        there = set(base.samples)
        answered = [i for i, sample in enumerate(samples) if sample.id in there]
        self._require_answers(samples, answered)
        base = base.only([samples[i].id for i in answered])
        encoded = encode_prompts(model, tokenizer, [sample.text for sample in samples], settings)
        prompts = prompt_rows(model, tokenizer, encoded)
        rows = base.read_from([prompts[i] for i in answered])
        budget = BatchBudget.of(model, "loglikelihood", settings.tokens_per_batch)

        def of_piece(logits: "torch.Tensor", places: "torch.Tensor") -> tuple["torch.Tensor", ...]:
            found = divergences(base.logs[places].to(logits.device), base.tokens[places].to(logits.device), logits)
            return (found.cpu(),)

        mean, first = np.zeros(len(answered)), np.zeros(len(answered))
        for index, (found,) in read_answers(model, rows, list(base.answers), budget, of_piece):
            mean[index], first[index] = float(found.mean()), float(found[0])
        return self._measurements(tokenizer, samples, base, encoded.shown, {"kl": mean, "kl_first": first}, budget)

    def _require_answers(self, samples: Sequence[Sample], answered: Sequence[int]) -> None:
        """Raises InputError for a half on whose prompts no thought has ended."""
        for half in dict.fromkeys(sample.half for sample in samples):
            if not any(samples[i].half == half for i in answered):
                raise InputError(
                    f"the divergence has no answer to read on the {half} half: no thought ended within "
                    f"{self.answers.generation.max_new_tokens} tokens; allow more (evaluation.divergence_tokens), or "
                    "say model.thinking=off"
                )

    def _measurements(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        samples: Sequence[Sample],
        base: Distributions,
        shown: Sequence[str],
        scores: dict[str, NDArray[np.float64]],
        budget: BatchBudget,
    ) -> list[Measurement]:
        strips = thoughts_of(tokenizer, self.answers.generation.chat) is not None
        place_of = {name: place for place, name in enumerate(base.samples)}
        said = [str(tokenizer.decode(answer, skip_special_tokens=True)) for answer in base.answers]
        thought = [str(tokenizer.decode(one)) for one in base.thoughts] or [""] * len(said)
        rendered = list(shown) != [sample.text for sample in samples]
        measurements = []
        for half in get_args(Half):
            of_half = [i for i, sample in enumerate(samples) if sample.half == half]
            if not of_half:
                continue
            answered = [i for i in of_half if samples[i].id in place_of]
            places = [place_of[samples[i].id] for i in answered]
            measurements += [
                Measurement(
                    name=f"divergence/{name}",
                    half=half,
                    sample_ids=tuple(samples[i].id for i in answered),
                    scores=values[places],
                    inputs=tuple(samples[i].text for i in answered),
                    rendered=tuple(shown[i] for i in answered) if rendered else None,
                    outputs=tuple(thought[place] + said[place] for place in places),
                    scored=tuple(said[place] for place in places) if strips else None,
                    notes=budget.notes(),
                )
                for name, values in scores.items()
            ]
            if strips:
                measurements.append(_unended(half, [samples[i] for i in of_half], place_of))
        return measurements


def _unended(half: Half, samples: Sequence[Sample], answered: Container[str]) -> Measurement:
    """The share of prompts on which the base's thought has not ended, or nothing follows it."""
    return Measurement(
        name=f"divergence/kl/{UNENDED}",
        half=half,
        sample_ids=tuple(sample.id for sample in samples),
        scores=np.array([sample.id not in answered for sample in samples], dtype=np.float64),
        inputs=tuple(sample.text for sample in samples),
    )
