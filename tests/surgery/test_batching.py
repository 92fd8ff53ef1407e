from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surgery.batching import run_in_batches, token_budget_batches


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 200))
def test_every_sample_is_in_one_batch_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = token_budget_batches(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget


def test_the_longest_batch_comes_first_and_ties_keep_their_order() -> None:
    assert token_budget_batches([2, 5, 2, 5, 2], 10) == [[1, 3], [0, 2, 4]]


def fits(largest: int, calls: list[Sequence[int]], error: Exception):
    def function(batch: list[int]) -> list[int]:
        calls.append(tuple(batch))
        if len(batch) > largest:
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
def test_a_batch_that_does_not_fit_is_halved_and_finished_ones_are_not_redone(error: Exception) -> None:
    calls: list[Sequence[int]] = []
    halvings: list[int] = []
    batches = [[0, 1], [2, 3, 4, 5, 6, 7, 8, 9], [10, 11, 12, 13]]
    results = list(run_in_batches(batches, fits(2, calls, error), halvings.append))
    assert [index for batch, _ in results for index in batch] == list(range(14))
    assert [value for _, values in results for value in values] == [index * 10 for index in range(14)]
    assert halvings == [4, 2]
    done = [index for call in calls if len(call) <= 2 for index in call]
    assert sorted(done) == list(range(14))
    # Later batches are cut to the size that fitted, without failing first.
    assert [len(call) for call in calls if len(call) > 2] == [8, 4]


def test_one_sample_that_does_not_fit_raises() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        list(run_in_batches([[0, 1]], fits(0, [], torch.OutOfMemoryError("no"))))


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    calls: list[Sequence[int]] = []
    with pytest.raises(RuntimeError, match="shape"):
        list(run_in_batches([[0, 1]], fits(1, calls, RuntimeError("shape mismatch"))))
    assert calls == [(0, 1)]
