"""Who computes what a model answers: its own forward pass, or a server that evaluators need not know of."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from evaluation.engines.decoding import Generation
from evaluation.engines.in_memory import InMemory
from evaluation.harness.lm_eval_run import TaskRun
from evaluation.measurements.measurement import JSON

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# The models that are not asked themselves.
_engines: "WeakKeyDictionary[PreTrainedModel, Engine]" = WeakKeyDictionary()


class Engine(Protocol):
    """Computes what one model answers, as it is now. Token ids go in and come out: texts are its callers' affair."""

    def continuations(
        self, rows: Sequence[list[int]], settings: Generation, progress: bool = False
    ) -> tuple[list[list[int]], dict[str, str | int]]:
        """(token ids of what continues each prompt, up to its first end token, which is among them; notes of batches).

        Args:
            rows: token ids of each prompt, none empty.
            settings: checked.
        """
        ...

    def losses(
        self, rows: Sequence[list[int]], scored: Sequence[int], tokens_per_batch: int | None = None, title: str = ""
    ) -> "tuple[np.typing.NDArray[np.float64], Mapping[str, JSON]]":
        """(negative log-likelihood of the last `scored` tokens of each row, summed, in nats: [n]; notes of batches).

        Args:
            rows: token ids of each text, each longer than what is scored of it.
            tokens_per_batch: budget of a batch; None is found.
            title: of a bar; none where it is empty.
        """
        ...

    def lm_eval(
        self, run: TaskRun, progress: bool = False
    ) -> AbstractContextManager[tuple[Any, Mapping[str, Mapping[str, JSON]]]]:
        """(the model as lm-eval takes it, {kind of request: notes of its batches} as they are run), while a body runs.

        What it is has `thoughts` and `unended`, as `evaluation.harness.lm_eval_texts.ReadsAsMeasured` has them.
        """
        ...


def engine_of(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> Engine:
    """What evaluators ask for a model's answers: the model in memory, unless it is `answered_by` something else."""
    return _engines.get(model) or InMemory(model, tokenizer)


@contextmanager
def answered_by(model: "PreTrainedModel", engine: Engine) -> Iterator[None]:
    """Has a model, which may be without its weights, answered for by an engine for the body of a `with`."""
    before = _engines.get(model)
    _engines[model] = engine
    try:
        yield
    finally:
        del _engines[model]
        if before is not None:
            _engines[model] = before
