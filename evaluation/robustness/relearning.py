"""A short training on the behavior, and the behavior again: how quickly what an edit took away comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from evaluation.evaluator import AgainstBase, Evaluator, ScoresPrompts, metric_names
from evaluation.inputs.behavior_texts import SEED, behavior_texts
from evaluation.measurements.measurement import JSON, Measurement
from evaluation.robustness.relearned_names import name_after
from evaluation.robustness.relearned_texts import relearned_texts
from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_parts
from surgery.training.lora_training import lora_in_place

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Raised when the same settings would train otherwise.
VERSION = 1
KEY = "evaluation.robustness"


@dataclass(frozen=True)
class Relearning:
    """`robustness/NAME_after_N`: each metric NAME of some evaluators after N steps of a LoRA on the avoided class.

    The LoRA (`surgery.training.lora_training`) is trained on the model as it is, with its weights edited or
    steered while it runs, and is in it while the evaluators measure; afterwards it is gone. It begins from the same
    random matrices and reads the same texts in the same order whatever the model, so that the base after N steps is
    what an edited model is held against after N steps.

    Attributes:
        measures: what is measured after each number of steps, by name.
        texts: the keys of `behavior`: which texts it has, `max_length` and `chat`. See `relearned_texts` for which of
            them are trained on.
        share: of the texts that is held out; the probe's `test_share`.
        steps: numbers of steps, rising; 0 is the model before any.
        lr, rank: of the LoRA.
        batch_size: texts of a step.
    """

    measures: Mapping[str, Evaluator]
    texts: Mapping[str, Any]
    share: float = 0.1
    steps: Sequence[int] = (10, 30, 100)
    lr: float = 1e-4
    rank: int = 8
    batch_size: int = 16

    cost: ClassVar[int] = 4

    @classmethod
    def of(cls, made: Mapping[str, Evaluator], names: Sequence[str] | None, **settings: Any) -> Self:
        """Of the evaluators of these names; without names, of all that score continuations of prompts.

        Raises:
            InputError: for a name that is none, and where nothing is left to measure.
        """
        if unknown := [name for name in names or () if name not in made]:
            raise InputError(f"{KEY}.of names '{unknown[0]}'; what is measured is {', '.join(made) or 'nothing'}")
        chosen = [name for name, one in made.items() if isinstance(one, ScoresPrompts)] if names is None else names
        if not chosen:
            raise InputError(
                f"{KEY} measures a behavior again, but nothing here continues prompts; choose an evaluation that does, "
                f"evaluation.prompts=FILE say, or name what to measure with {KEY}.of"
            )
        return cls({name: made[name] for name in chosen}, **settings)

    def first_look(self) -> Self | None:
        """All of it, after what is cheaper; nothing where no selection half is measured."""
        return self if any(one.first_look() is not None for one in self.measures.values()) else None

    def check(self) -> None:
        """Reads the texts; raises InputError for settings that can't be used, and for too few texts."""
        whole = all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in self.steps)
        if not self.steps or not whole or list(self.steps) != sorted(set(self.steps)):
            raise InputError(
                f"{KEY}.steps={list(self.steps)} is not possible: whole numbers from 0 that rise, such as [0,10,30,100]"
            )
        for name, value in (("lr", self.lr), ("rank", self.rank), ("batch_size", self.batch_size)):
            whole = name == "lr" or isinstance(value, int)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0 or not whole:
                what = "a number above 0" if name == "lr" else "a whole number from 1"
                raise InputError(f"{KEY}.{name}={value} is not possible: it is {what}")
        for name, one in self.measures.items():
            if isinstance(one, AgainstBase):
                raise InputError(f"{KEY}.of names '{name}', which is a distance from the base and no behavior")
            one.check()
        if len(self._trained_on[0]) < self.batch_size:
            raise InputError(
                f"{KEY} trains on {self._which()}, and a step reads {self.batch_size}; give more texts, or say "
                f"{KEY}.batch_size={max(1, len(self._trained_on[0]))}"
            )

    def prepare(self) -> None:
        """Loads what the evaluators need; raises InputError."""
        for one in self.measures.values():
            one.prepare()

    def check_prompts(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[str]:
        """Says which texts are trained on; prompts are for the evaluators to check. See `ShowsPrompts`."""
        return [f"{KEY} trains on {self._which()}"]

    def identity(self) -> dict[str, JSON]:
        """What is measured, the texts by content and how they are read, and how is trained."""
        return {
            "kind": "relearning",
            "version": VERSION,
            "measures": {name: one.identity() for name, one in self.measures.items()},
            "texts": sha256_of_parts(self._trained_on[0]),
            "reading": self._reading(),
            "steps": list(self.steps),
            "lr": self.lr,
            "rank": self.rank,
            "batch_size": self.batch_size,
            "seed": SEED,
        }

    def metric_names(self) -> list[str]:
        """See `evaluation.evaluator.NamesMetrics`."""
        names = metric_names(self.measures.values())
        return [name_after(name, steps) for steps in self.steps for name in names]

    def measure(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", progress: bool = False
    ) -> list[Measurement]:
        """What the evaluators measure, after each number of steps.

        Raises:
            InputError: see `lora_in_place`, and for training that ran into NaN.
        """
        how: dict[str, Any] = {"rank": self.rank, "lr": self.lr, "batch_size": self.batch_size, "seed": SEED}
        how |= {"lr_key": f"{KEY}.lr", **self._reading()}
        found = []
        with lora_in_place(model, tokenizer, self._trained_on[0], **how) as lora:
            for steps in self.steps:
                lora.train_to(steps)
                for evaluator in self.measures.values():
                    measured = evaluator.measure(model, tokenizer, progress)
                    found += [replace(one, name=name_after(one.name, steps)) for one in measured]
        return found

    @cached_property
    def _trained_on(self) -> tuple[list[str], int]:
        """(the texts, how many were left out for a scored prompt)."""
        scored = [one for one in self.measures.values() if isinstance(one, ScoresPrompts)]
        prompts = [prompt for one in scored for prompt in one.scored_prompts()]
        return relearned_texts(self._texts, self.share, prompts)

    @cached_property
    def _texts(self) -> Any:
        return behavior_texts(self.texts)

    def _which(self) -> str:
        texts, left_out = self._trained_on
        without = f"; {left_out} more begin with a prompt that is scored" if left_out else ""
        return (
            f"{len(texts)} different texts of class '{self._texts.classes[1]}' that a probe of seed {SEED} is trained "
            f"on{without}"
        )

    def _reading(self) -> dict[str, Any]:
        return {"max_length": self.texts["max_length"], "chat": self.texts["chat"]}
