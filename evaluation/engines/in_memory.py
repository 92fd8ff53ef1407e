"""The model in memory as its own engine, by transformers."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.engines.decoding import Decoder, Generation
from evaluation.harness.lm_eval_batches import run_within_budgets
from evaluation.harness.lm_eval_run import TaskRun
from evaluation.inputs.model_input import evaluation_mode, padded
from evaluation.measurements.measurement import JSON
from evaluation.position_logits import read_positions
from surgery.states.batch_budget import BatchBudget
from surgery.states.batching import run_in_batches

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from evaluation.harness.lm_eval_model import ModelInMemory


@dataclass(frozen=True)
class InMemory:
    """A model and its tokenizer; see `evaluation.engines.engine.Engine`."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"

    def continuations(
        self, rows: Sequence[list[int]], settings: Generation, progress: bool = False
    ) -> tuple[list[list[int]], dict[str, str | int]]:
        """Prompts are padded on the left and packed by length. With sampling, each batch is seeded by the settings and
        its samples."""
        import torch
        from tqdm import tqdm

        decoder = Decoder(self.model, self.tokenizer, settings)
        lengths = [len(ids) + settings.max_new_tokens for ids in rows]

        def run(indices: list[int]) -> list[list[int]]:
            with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
                if settings.do_sample:
                    torch.manual_seed(_batch_seed(settings.seed, indices))
                new: list[list[int]] = decoder.new_tokens([rows[i] for i in indices]).tolist()
            return new

        kept: list[list[int]] = [[] for _ in rows]
        budget = BatchBudget.of(self.model, "generation", settings.tokens_per_batch)
        with (
            decoder.ready(),
            tqdm(total=len(rows), desc="continuations", unit="prompt", disable=not progress) as bar,
        ):
            for indices, batch in run_in_batches(lengths, budget, run):
                for index, new in zip(indices, batch, strict=True):
                    kept[index] = decoder.until_end(new)
                bar.update(len(indices))
        return kept, dict(budget.notes())

    def losses(
        self, rows: Sequence[list[int]], scored: Sequence[int], tokens_per_batch: int | None = None, title: str = ""
    ) -> "tuple[np.typing.NDArray[np.float64], Mapping[str, JSON]]":
        """Rows are packed by length, padded on the right."""
        from tqdm import tqdm

        def run(indices: list[int]) -> list[float]:
            return _losses_of_batch(self.model, [rows[i] for i in indices], [scored[i] for i in indices])

        losses, lengths = np.zeros(len(rows)), [len(row) for row in rows]
        budget = BatchBudget.of(self.model, "loglikelihood", tokens_per_batch)
        with evaluation_mode(self.model), tqdm(total=len(rows), desc=title, unit="window", disable=not title) as bar:
            for indices, batch in run_in_batches(lengths, budget, run):
                losses[indices] = batch
                bar.update(len(indices))
        return losses, budget.notes()

    @contextmanager
    def lm_eval(self, run: TaskRun, progress: bool = False) -> Iterator[tuple[Any, Mapping[str, Mapping[str, JSON]]]]:
        """The model is put back into the mode it was in."""
        training = self.model.training
        try:
            lm = self._harness_model(run)
            yield lm, run_within_budgets(lm, self.model, run.batch_size, progress)
        finally:
            self.model.train(training)

    def _harness_model(self, run: TaskRun) -> "ModelInMemory":
        from evaluation.harness import lm_eval_continuous, lm_eval_model

        if (continued := self._continued()) is None:
            return lm_eval_model.ModelInMemory(self.model, self.tokenizer, run.max_length, run.chat)
        return lm_eval_continuous.ContinuousModel(self.model, self.tokenizer, continued, run.max_length, run.chat)

    def _continued(self) -> Callable[..., list[list[int]]] | None:
        """What generates in lm-eval's place; None where it does so itself."""
        return None


def _losses_of_batch(model: "PreTrainedModel", pieces: Sequence[list[int]], scored: Sequence[int]) -> list[float]:
    """Losses of one batch, see `Engine.losses`. Float32 some positions at a time, and summed in float64."""
    import torch

    # The logits before each token that is scored.
    rows = torch.repeat_interleave(torch.tensor(scored))
    columns = torch.cat(
        [torch.arange(len(piece) - count, len(piece)) - 1 for piece, count in zip(pieces, scored, strict=True)]
    )
    targets = torch.cat([torch.tensor(piece[-count:]) for piece, count in zip(pieces, scored, strict=True)])

    def of_piece(logits: torch.Tensor, here: slice) -> list[torch.Tensor]:
        target = targets[here].to(logits.device)
        return [torch.nn.functional.cross_entropy(logits.float(), target, reduction="none").double()]

    # A causal model never looks at what is right of a token, so padding there is of no account.
    (losses,) = read_positions(model, padded(model, pieces, "right", pad=0), rows, columns, of_piece)
    return [float(some.sum()) for some in losses.split(list(scored))]


def _batch_seed(seed: int, indices: list[int]) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{indices}".encode()).digest()[:7])
