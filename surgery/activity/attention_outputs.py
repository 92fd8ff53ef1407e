"""What attention adds to the residual stream, on average (the paper's Figure 2a)."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from surgery.activity.text_means import mean_over_texts
from surgery.errors import InputError
from surgery.rows.locator import layer_count, locate
from surgery.states.text_batches import reading_of_texts


def mean_attention_outputs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_length: int | None = None,
    add_special_tokens: bool = True,
    tokens_per_batch: int | None = None,
    progress: bool = False,
) -> dict[int, torch.Tensor]:
    """Each layer's attention output: the mean over the tokens of each text, then over texts.

    It is the output of o_proj. Families that norm it before it is added to the stream (Gemma 2, OLMo 2) are read
    before that norm.

    Args:
        texts: n texts; each needs at least one token, and counts as much as any other.
        max_length: longest text in tokens, what comes after is left out; None: what the model takes.
        add_special_tokens: False where the texts hold theirs already, as a chat template writes them.
        tokens_per_batch: budget of a batch, padding counted; None is found from the model and its device.
        progress: show a bar with the time that is left.

    Returns:
        {layer: float32 [d] on the CPU} for every layer 1..L.

    Raises:
        InputError: for no texts, a text without tokens, or layers without an attention output (they are named).
    """
    if not texts:
        raise InputError("there are no texts to take attention outputs of")
    homes = locate(model, "o_proj")
    missing = sorted(set(range(1, layer_count(model) + 1)) - {home.layer for home in homes})
    if missing:
        names = f"layer{'s' * (len(missing) > 1)} {', '.join(map(str, missing))}"
        raise InputError(f"{type(model).__name__} has no attention output (o_proj) that is known in {names}")
    reading = reading_of_texts(model, max_length, special_tokens=add_special_tokens)
    means = mean_over_texts(
        model, tokenizer, texts, homes, reading, tokens_per_batch=tokens_per_batch, progress=progress
    )
    return {home.layer: mean for home, mean in sorted(means.items(), key=lambda one: one[0].layer)}
