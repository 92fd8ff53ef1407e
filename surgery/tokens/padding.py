"""Rows of token ids as one batch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


def padded(
    rows: Sequence[Sequence[int]], pad: int, device: "torch.device", side: Literal["left", "right"] = "right"
) -> "dict[str, torch.Tensor]":
    """`input_ids` and `attention_mask`, int64 [b, longest row].

    Args:
        rows: b rows of token ids.
        pad: what shorter rows are filled up with.
        device: of the batch.
        side: where they are filled up.
    """
    import torch

    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for index, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(width - len(row), width)
        ids[index, place] = torch.tensor(row, dtype=torch.long)
        mask[index, place] = 1
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
