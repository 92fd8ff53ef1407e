"""What stands for a tensor that is not on the CPU: a checksum made where it lies."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from surgery.model import weight_digests
from surgery.model.weight_digests import checksum

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float64, torch.int64, torch.bool]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_digests, "WORDS_AT_ONCE", 16)
    monkeypatch.setattr(weight_digests, "_factors", {})


def numbers(seed: int) -> torch.Tensor:
    return torch.randn(5, 11, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_one_of_its_lowest_bits_counts(dtype: torch.dtype) -> None:
    tensor = (numbers(0) > 0) if dtype == torch.bool else numbers(0).to(dtype)
    seen = {checksum(tensor)}
    for place in range(tensor.numel()):
        changed = tensor.clone()
        changed.view(torch.uint8).reshape(tensor.numel(), -1)[place, 0] ^= 1
        seen.add(checksum(changed))
    assert len(seen) == tensor.numel() + 1


@settings(deadline=None, max_examples=40)
@given(one=st.integers(0, 54), other=st.integers(0, 54))
def test_so_does_the_place_of_each_value(one: int, other: int) -> None:
    tensor = numbers(1)
    swapped = tensor.flatten().clone()
    swapped[[one, other]] = swapped[[other, one]]
    assert (checksum(swapped) == checksum(tensor)) == (one == other)


def test_the_same_values_have_the_same_however_they_lie() -> None:
    tensor = numbers(2)
    assert checksum(tensor.T.contiguous().T) == checksum(tensor.clone()) == checksum(tensor)
    assert checksum(torch.empty(0)) == checksum(torch.empty(0))
