"""What every evaluator can do."""

from typing import TYPE_CHECKING, Protocol

from evaluation.measurement import JSON, Measurement

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Evaluator(Protocol):
    """Measures a model; made from a config, cheap until it measures."""

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
