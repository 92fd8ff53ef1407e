"""What attention adds to the residual stream, on average (the paper's Figure 2a)."""

from collections.abc import Callable, Mapping, Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from surgery.activity.module_outputs import read_outputs
from surgery.errors import InputError
from surgery.rows.locator import layer_count, locate
from surgery.rows.rows import Rows
from surgery.states.batch_budget import BatchBudget
from surgery.states.hidden_states import mean_over_tokens
from surgery.states.text_batches import encode_texts, reading_of_texts, run_on_texts
from surgery.tokens.encoding import padding_id


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
    encoded = encode_texts(model, tokenizer, texts, reading).ids
    sums: dict[int, torch.Tensor] = {}
    for _, pooled in run_on_texts(
        model,
        encoded,
        padding_id(model, tokenizer),
        lambda inputs: _pooled(model, inputs, homes),
        BatchBudget.of(model, "hidden_states", tokens_per_batch),
        description="attention outputs",
        progress=progress,
    ):
        for layer, values in pooled.items():
            sums[layer] = sums.get(layer, 0.0) + values.double().sum(0)
    return {layer: (sums[layer] / len(texts)).float() for layer in sorted(sums)}


def _pooled(
    model: PreTrainedModel, inputs: Mapping[str, torch.Tensor], homes: Sequence[Rows]
) -> dict[int, torch.Tensor]:
    """The mean over each text's tokens, {layer: [b, d]}."""
    found: dict[int, torch.Tensor] = {}

    def keeping(layer: int) -> Callable[[torch.Tensor], None]:
        def read(output: torch.Tensor) -> None:
            found[layer] = mean_over_tokens(output, inputs["attention_mask"]).cpu()

        return read

    read_outputs(model, inputs, {home: keeping(home.layer) for home in homes})
    return found
