"""What every evaluator can do."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, runtime_checkable

from evaluation.measurements.measurement import JSON, Half, Measurement

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@runtime_checkable
class ShowsPrompts(Protocol):
    """An evaluator that can say what is wrong with its prompts for a model before the model's weights are read."""

    def check_prompts(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[str]:
        """Sentences that a person should know of how prompts are shown, such as how many are cut.

        Args:
            model: without its weights.

        Raises:
            InputError: for what the tokenizer can't do, no room beside a chat template, and tokens that the model has
                no embedding of.
        """
        ...


@runtime_checkable
class ScoresPrompts(Protocol):
    """An evaluator that continues prompts and scores what it gets: what a behavior is seen by."""

    def scored_prompts(self) -> list[str]:
        """The prompts: texts that hold them are nothing to train a model on that is measured here."""
        ...


@runtime_checkable
class CountsPrompts(Protocol):
    """An evaluator that can say beforehand how many prompts it scores: which change its rates can show."""

    def prompts_a_half(self) -> dict[Half, int]:
        """{half: how many prompts}; a half without any is not there."""
        ...


@runtime_checkable
class NamesMetrics(Protocol):
    """An evaluator or a scorer that can say what its metrics are called before it measures anything."""

    def metric_names(self) -> list[str]:
        """Their names, or patterns of them as `fnmatch` reads them."""
        ...


def metric_names(measures: Iterable[object]) -> list[str]:
    """The names of the metrics of evaluators or scorers; of one that can't say, `*`: it may be any."""
    return [name for one in measures for name in (one.metric_names() if isinstance(one, NamesMetrics) else ["*"])]


def asks_engine(evaluator: object) -> bool:
    """Whether an evaluator asks the model's engine alone (`evaluation.engines.engine.engine_of`).
    It says so by an attribute `asks_engine`, and is then given a model without its weights where a server answers for
    it. Any other is given the model in memory, whatever the engine: it may look at weights and states.
    """
    return bool(getattr(evaluator, "asks_engine", False))


class Evaluator(Protocol):
    """Measures a model; made from a config, cheap until it measures.

    Attributes:
        cost: 1 reads a text once, 2 generates, 3 runs benchmarks: what is tried first where a cell may be given up.
    """

    cost: ClassVar[int]

    def first_look(self) -> Self | None:
        """What tells about the selection half first: on a part of its samples, or all of them.

        None where nothing of the selection half is measured. The measurements have the names and the sample ids of
        the whole evaluator's.
        """
        ...

    def check(self) -> None:
        """Raises InputError for anything that could be found wrong before a model is loaded."""
        ...

    def prepare(self) -> None:
        """Loads what measuring needs beside the model; raises InputError, so that what is missing costs no run."""
        ...

    def identity(self) -> dict[str, JSON]:
        """Everything that can change what is measured.

        Files count by their content, not their path. A device does not count; a batch budget does, since the shape
        of a batch can change the last bits of a result.
        """
        ...

    def measure(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", progress: bool = False
    ) -> list[Measurement]:
        """Measures the model as it is now, without changing it, its tokenizer or the global random state."""
        ...


@runtime_checkable
class AgainstBase(Protocol):
    """An evaluator that holds the edited model against what it kept of the base, and not only scores against scores.

    Its base is measured by `keep`, whose folder is stored with the base's measurements; the edited model by
    `measure_against`.
    """

    def keep(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path, progress: bool = False
    ) -> list[Measurement]:
        """Measures the base, and writes what the edited model is held against into a folder."""
        ...

    def measure_against(
        self, kept: Path, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", progress: bool = False
    ) -> list[Measurement]:
        """Measures the model as it is now against what was kept in a folder; see `Evaluator.measure`."""
        ...
