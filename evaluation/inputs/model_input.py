"""What every forward pass of a measurement needs: padded rows, and the model in evaluation mode."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def padded(
    model: "PreTrainedModel", rows: Sequence[list[int]], side: Literal["left", "right"], pad: int
) -> dict[str, "torch.Tensor"]:
    """`input_ids` and `attention_mask` [b, longest row], where the model's embeddings are."""
    import torch

    from surgery.model.offload import input_device

    device = input_device(model)
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for index, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(width - len(row), width)
        ids[index, place] = torch.tensor(row)
        mask[index, place] = 1
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


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
