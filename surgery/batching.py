"""Batches made from lengths alone, and halved when memory runs out."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an accelerator or the CPU allocator refused memory (the latter raises a plain RuntimeError)."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def run_in_batches(
    batches: Sequence[list[int]],
    function: Callable[[list[int]], Result],
    on_halving: Callable[[int], None] = lambda size: None,
) -> Iterator[tuple[list[int], Result]]:
    """Yields (indices, function(indices)) for each batch; one that does not fit is halved.

    Finished batches are never redone, and later batches are cut to the size that fitted.

    Args:
        batches: lists of sample indices.
        function: called with the indices of one batch.
        on_halving: called with the new size at each halving. A caller notes it with its result, since the
            shape of a batch can change the last bits of it.

    Raises:
        torch.OutOfMemoryError, RuntimeError or MemoryError: when a batch of one sample does not fit.
    """
    waiting = deque(batches)
    limit = max((len(batch) for batch in batches), default=1)
    while waiting:
        batch = waiting.popleft()
        if len(batch) > limit:
            waiting.extendleft(reversed([batch[i : i + limit] for i in range(0, len(batch), limit)]))
            continue
        try:
            result = function(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or len(batch) == 1:
                raise
        else:
            yield batch, result
            continue
        # Out of the except block: there the traceback still held the tensors of the failed batch.
        limit = (len(batch) + 1) // 2
        on_halving(limit)
        waiting.appendleft(batch)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
