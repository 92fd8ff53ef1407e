"""The model in memory as its own engine, by transformers' continuous batching."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from evaluation.engines.continuous_batching import continued
from evaluation.engines.decoding import Decoder, Generation
from evaluation.engines.in_memory import InMemory
from surgery.errors import InputError
from surgery.states.batch_budget import BatchBudget
from surgery.states.batching import fits


@dataclass(frozen=True)
class InMemoryContinuous(InMemory):
    """As `InMemory`, but that an answer which has ended makes room for the next prompt at once.

    Likelihoods are read in batches as ever: nothing is uneven there.
    """

    def continuations(
        self, rows: Sequence[list[int]], settings: Generation, progress: bool = False
    ) -> tuple[list[list[int]], dict[str, str | int]]:
        """Greedy ones alone; raises InputError for others, and as `continued` does."""
        from tqdm import tqdm

        if settings.do_sample:
            raise InputError("engine.batching=continuous samples nothing; say engine.batching=static")
        decoder = Decoder(self.model, self.tokenizer, settings)
        longest = max(map(len, rows), default=0) + settings.max_new_tokens
        budget = BatchBudget.of(self.model, "generation", settings.tokens_per_batch)
        stops = decoder.stops if settings.stop else None
        while True:
            at_once = max(1, min(len(rows), budget.tokens // longest))
            with (
                decoder.ready(),
                tqdm(total=len(rows), desc="continuations", unit="prompt", disable=not progress) as bar,
            ):
                run = partial(continued, self.model, rows, self.model.generation_config, at_once, stops, bar.update)
                made = fits(run, at_once)
            if made is not None:
                return made[0], dict(budget.notes())
            budget.lower(at_once * longest)

    def _continued(self) -> Callable[..., list[list[int]]]:
        return partial(continued, self.model)
