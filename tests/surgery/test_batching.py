from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from surgery.states.batch_budget import BatchBudget
from surgery.states.batching import run_in_batches, token_budget_batches


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 200))
def test_every_sample_is_in_one_batch_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = token_budget_batches(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget


def test_the_longest_batch_comes_first_and_ties_keep_their_order() -> None:
    assert token_budget_batches([2, 5, 2, 5, 2], 10) == [[1, 3], [0, 2, 4]]


def budget_of(tokens: int) -> BatchBudget:
    return BatchBudget(nn.Linear(1, 1), "hidden_states", tokens)


def fitting(most: int, lengths: list[int], calls: list[Sequence[int]], error: Exception):
    """A function of a batch that fits no more than so many tokens."""

    def function(batch: list[int]) -> list[int]:
        calls.append(tuple(batch))
        if len(batch) * max(lengths[index] for index in batch) > most:
            raise error
        return [index * 10 for index in batch]

    return function


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_what_does_not_fit_halves_the_budget_and_finished_batches_are_not_redone(error: Exception) -> None:
    calls: list[Sequence[int]] = []
    lengths, budget = [8] * 8 + [2] * 6, budget_of(64)
    results = list(run_in_batches(lengths, budget, fitting(20, lengths, calls, error)))
    assert sorted(index for batch, _ in results for index in batch) == list(range(14))
    assert all(values == [index * 10 for index in batch] for batch, values in results)
    # 8 x 8 tokens fail, then 4 x 8, and 16 are left; what is shorter is packed by the tokens that fit.
    assert [len(call) for call in calls] == [8, 4, 2, 2, 2, 2, 6]
    assert (budget.tokens, budget.halvings) == (16, 2)


def test_memory_that_runs_out_late_costs_no_finished_batch() -> None:
    calls: list[tuple[int, ...]] = []

    def function(batch: list[int]) -> int:
        calls.append(tuple(batch))
        if len(batch) > 1 and len(calls) == 2:
            raise MemoryError
        return len(batch)

    budget = budget_of(4)
    assert [batch for batch, _ in run_in_batches([2] * 6, budget, function)] == [[0, 1], [2], [3], [4], [5]]
    assert calls == [(0, 1), (2, 3), (2,), (3,), (4,), (5,)]


def test_one_sample_that_does_not_fit_raises() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        list(run_in_batches([1, 1], budget_of(2), fitting(0, [1, 1], [], torch.OutOfMemoryError("no"))))


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    calls: list[Sequence[int]] = []
    with pytest.raises(RuntimeError, match="shape"):
        list(run_in_batches([1, 1], budget_of(2), fitting(1, [1, 1], calls, RuntimeError("shape mismatch"))))
    assert calls == [(0, 1)]
