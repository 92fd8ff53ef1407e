"""What every forward pass of a measurement needs: padded rows, and the model in evaluation mode."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from surgery.model.offload import input_device
from surgery.tokens import padding

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def padded(
    model: "PreTrainedModel", rows: Sequence[list[int]], side: Literal["left", "right"], pad: int
) -> dict[str, "torch.Tensor"]:
    """`input_ids` and `attention_mask` [b, longest row], where the model's embeddings are."""
    return padding.padded(rows, pad, input_device(model), side)


@contextmanager
def evaluation_mode(model: "PreTrainedModel") -> Iterator[None]:
    """No dropout and no gradients; afterwards the model is in the mode it was in."""
    import torch

    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)
