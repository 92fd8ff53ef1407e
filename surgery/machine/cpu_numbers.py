"""Which formats of numbers this machine's CPU multiplies slowly, for want of instructions."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedModel

# Below, nobody waits for the products.
LEAST_WEIGHTS = 50_000_000
_INSTRUCTIONS = {torch.bfloat16: ("avx512_bf16", "amx_bf16"), torch.float16: ("avx512_fp16", "amx_fp16")}


def lacks_instructions(dtype: torch.dtype) -> bool:
    """Whether an x86 CPU has none for products in a dtype of 16 bits; of other CPUs this is not known."""
    found: Mapping[str, Any] = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if found.get("architecture") != "x86_64" or dtype not in _INSTRUCTIONS:
        return False
    return not any(found.get(name) for name in _INSTRUCTIONS[dtype])


def slow_numbers(model: PreTrainedModel, dtype: torch.dtype) -> str | None:
    """One sentence for a person where a model would be read in a dtype that is slow on this CPU.

    Args:
        model: its skeleton.
        dtype: it will be loaded in.
    """
    if not lacks_instructions(dtype) or model.num_parameters() < LEAST_WEIGHTS:
        return None
    name = str(dtype).removeprefix("torch.")
    return (
        f"this CPU has no instructions for {name}, which the model is in, so it will be slow: "
        "model.dtype=float32 is many times as fast, where twice the memory is there"
    )
