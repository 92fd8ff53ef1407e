"""How large each input of a linear layer is over all tokens of some texts: half of Wanda's score."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from surgery.errors import InputError
from surgery.rows.linear_layers import linear_layers
from surgery.rows.locator import decoder
from surgery.states.batch_budget import BatchBudget
from surgery.states.text_batches import encode_texts, reading_of_texts, run_on_texts
from surgery.tokens.encoding import padding_id

# The same whatever memory is free, since the order of a sum is a part of it.
TOKENS_PER_BATCH = 8192


def input_norms(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_length: int | None = None,
    chat: bool = False,
    progress: bool = False,
) -> dict[str, torch.Tensor]:
    """‖X_j‖₂ of each input j of each linear layer but the head, over all tokens of the texts (Sun et al. 2024).

    Args:
        texts: each needs at least one token.
        max_length, chat: how they are read, as in `collect_hidden_states`.
        progress: show a bar with the time that is left.

    Returns:
        {name of the layer: float32 [in]} on the CPU; a layer that no text reaches is left out.

    Raises:
        InputError: for no texts; for a layer that is not given every token, as those of routed experts are not.
    """
    if not texts:
        raise InputError("there are no texts to take the inputs of linear layers on")
    encoded = encode_texts(model, tokenizer, texts, reading_of_texts(model, max_length, chat)).ids
    sums: dict[str, torch.Tensor] = {}
    batches = run_on_texts(
        model,
        encoded,
        padding_id(model, tokenizer),
        lambda inputs: _squares(model, inputs),
        BatchBudget.of(model, "hidden_states", TOKENS_PER_BATCH),
        description="inputs of linear layers",
        progress=progress,
    )
    for _, squares in batches:
        for name, values in squares.items():
            sums[name] = sums[name] + values if name in sums else values
    return {name: values.sqrt().float() for name, values in sums.items()}


def _squares(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """{layer: float64 [in]}, on the CPU: the sum over a batch's tokens of each input's square."""
    mask = inputs["attention_mask"].flatten().bool()
    found: dict[str, torch.Tensor] = {}

    def before(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            states = args[0].flatten(0, -2)
            if len(states) != len(mask):
                raise InputError(
                    f"{name} is not given every token, as routed experts are not, so it has no Wanda score"
                )
            squares = states[mask.to(states.device)].float().square().sum(0).cpu().double()
            found[name] = found[name] + squares if name in found else squares

        return hook

    handles = [layer.register_forward_pre_hook(before(name)) for name, layer in linear_layers(model).items()]
    try:
        decoder(model)(**inputs, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return found
