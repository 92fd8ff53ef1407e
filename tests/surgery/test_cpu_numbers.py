"""A model in numbers that the CPU has no instructions for is told of, where it is large enough to be waited for."""

from typing import Any

import pytest
import torch

from surgery.machine import cpu_numbers
from surgery.machine.cpu_numbers import slow_numbers


@pytest.fixture(autouse=True)
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_numbers, "LEAST_WEIGHTS", 0)


def with_instructions(monkeypatch: pytest.MonkeyPatch, *names: str, architecture: str = "x86_64") -> None:
    found: dict[str, Any] = {"architecture": architecture, "avx512_bf16": False, "amx_bf16": False} | dict.fromkeys(
        names, True
    )
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)


def test_it_names_the_dtype_and_the_way_out(monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    with_instructions(monkeypatch, "avx2")
    for dtype in ("bfloat16", "float16"):
        said = slow_numbers(model, getattr(torch, dtype))
        assert said is not None and dtype in said and "model.dtype=float32" in said


def test_nothing_is_said_where_it_is_not_so(monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    with_instructions(monkeypatch, "avx2")
    assert slow_numbers(model, torch.float32) is None
    for name in ("avx512_bf16", "amx_bf16"):
        with_instructions(monkeypatch, name)
        assert slow_numbers(model, torch.bfloat16) is None
        assert slow_numbers(model, torch.float16) is not None
    with_instructions(monkeypatch, architecture="aarch64")
    assert slow_numbers(model, torch.bfloat16) is None


def test_nor_of_a_small_model(monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    with_instructions(monkeypatch)
    monkeypatch.setattr(cpu_numbers, "LEAST_WEIGHTS", model.num_parameters() + 1)
    assert slow_numbers(model, torch.bfloat16) is None
