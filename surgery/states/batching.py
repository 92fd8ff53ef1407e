"""Batches made from lengths and a budget alone, and made smaller when memory runs out."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from surgery.errors import is_out_of_memory
from surgery.states.batch_budget import BatchBudget

Result = TypeVar("Result")


def token_budget_batches(lengths: Sequence[int], tokens_per_batch: int) -> list[list[int]]:
    """Packs samples into batches of about equal cost, longest first.

    Args:
        lengths: tokens of each sample, [n].
        tokens_per_batch: largest number of tokens a batch may hold, padding counted; a single longer
            sample makes a batch of its own.

    Returns:
        Lists of sample indices, every index once. The longest batch comes first, so that memory runs out
        at the start or not at all. Ties keep their order, so the same lengths give the same batches.
    """
    batches: list[list[int]] = []
    width = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches and (len(batches[-1]) + 1) * width <= tokens_per_batch:
            batches[-1].append(index)
        else:
            width = max(1, lengths[index])
            batches.append([index])
    return batches


def fits(function: Callable[[], Result], samples: int) -> tuple[Result] | None:
    """What a function of some samples returns, in a tuple; None when memory ran out.

    Raises:
        torch.OutOfMemoryError, RuntimeError or MemoryError: when it runs out on one sample.
    """
    try:
        return (function(),)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or samples == 1:
            raise
    import torch

    # Out of the except block: there the traceback still held the tensors of the failed batch.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def run_in_batches(
    lengths: Sequence[int], budget: BatchBudget, function: Callable[[list[int]], Result]
) -> Iterator[tuple[list[int], Result]]:
    """Yields (indices, function(indices)) for each batch; when one does not fit, the budget is halved.

    Finished batches are never redone; what is left is packed anew.

    Args:
        lengths: tokens of each sample, [n].
        budget: of a batch; it tells afterwards what it was lowered to.
        function: called with the indices of one batch.

    Raises:
        torch.OutOfMemoryError, RuntimeError or MemoryError: when a batch of one sample does not fit.
    """
    waiting = deque(token_budget_batches(lengths, budget.tokens))
    while waiting:
        batch = waiting[0]
        result = fits(partial(function, batch), len(batch))
        if result is not None:
            waiting.popleft()
            yield batch, result[0]
            continue
        budget.lower(len(batch) * max(1, *(lengths[i] for i in batch)))
        left = [index for some in waiting for index in some]
        again = token_budget_batches([lengths[i] for i in left], budget.tokens)
        waiting = deque([left[place] for place in places] for places in again)
