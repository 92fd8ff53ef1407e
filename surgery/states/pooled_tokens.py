"""Over which tokens of a text the hidden states are averaged."""

from typing import TYPE_CHECKING, Literal, get_args

from surgery.errors import InputError

if TYPE_CHECKING:
    import torch

Pooling = Literal["mean", "mean_after_first", "last"]
POOLING: Pooling = "mean"


def require_pooling(pooling: str, what: str = "pooling") -> None:
    """Raises InputError for a word that is no way to pool."""
    if pooling not in get_args(Pooling):
        raise InputError(f"{what} '{pooling}' is none of {', '.join(get_args(Pooling))}")


def pooled_tokens(mask: "torch.Tensor", pooling: Pooling) -> "torch.Tensor":
    """Which tokens a text's state is the mean of: mask [b, t] of 0 and 1, of what is no padding → the same.

    Many language models give their first token a state that is a hundred times as large as any other and the same in
    every text (Sun et al. 2024, "Massive activations in large language models"). In a mean over all tokens it weighs
    one over the text's length, so that the means of two classes differ by how long their texts are.

    Args:
        pooling: `mean`, all of them, as in the paper; `mean_after_first`, all but the first, a text of one token by
            itself; `last`, the last alone, as directional ablation takes it (Arditi et al. 2024).
    """
    if pooling == "mean":
        return mask
    place, length = mask.cumsum(1) * mask, mask.sum(1, keepdim=True)
    last = place == length
    if pooling == "last":
        return last.long()
    # The last token is not the first, but in a text of one.
    return ((place > 1) | last).long()
