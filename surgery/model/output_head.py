"""The output head on a CPU: given its input as the matrix that it is.

The first step of `generate` hands the head the last position of each row, a slice `hidden[:, -1:, :]` that is not
contiguous. torch then takes one product a row, with the head's weight expanded for each: in bfloat16 oneDNN lays it out
anew every time, which takes hundreds of times as long, or more memory than there is. Later steps, and models that copy
the slice themselves, are not touched.
"""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

# Numbers of a head below which nothing is done: expanding it costs nothing, and one product for all rows would change
# the last bits of its results.
LEAST_NUMBERS = 1 << 20


def give_contiguous_input(model: PreTrainedModel) -> None:
    """Has a large output head see contiguous input on a CPU, and nothing else: no weight, name or file changes.

    It is done by a hook of the head's module that is a plain function, so that copies and pickles of the model keep it.
    """
    head = model.get_output_embeddings()
    weight = getattr(head, "weight", None)
    if weight is None or weight.numel() < LEAST_NUMBERS or _contiguous in head._forward_pre_hooks.values():
        return
    head.register_forward_pre_hook(_contiguous)


def _contiguous(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    if args and isinstance(args[0], torch.Tensor) and args[0].device.type == "cpu" and not args[0].is_contiguous():
        return (args[0].contiguous(), *args[1:])
    return None
