"""How strongly the gate of each neuron reacts to texts, whichever way."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from surgery.activity.text_means import mean_over_texts
from surgery.errors import InputError
from surgery.rows.locator import by_layer, locate
from surgery.states.text_batches import reading_of_texts


def mean_gate_activity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_length: int = 100,
    chat: bool = False,
    progress: bool = False,
) -> dict[int, torch.Tensor]:
    """Of every gate_proj row the mean |z| of its pre-activation z: over the tokens of each text, then over texts.

    Args:
        texts: n texts; each needs at least one token.
        max_length: longest text in tokens, which loses its end beyond that.
        chat: put each text into the tokenizer's chat template.
        progress: show a bar with the time that is left.

    Returns:
        {layer: float32 [its rows], on the CPU}, numbered as a ranking numbers them.

    Raises:
        InputError: for no texts or one without tokens; for gates that no module puts out (experts in one tensor), or
            not at every token (routed experts).
    """
    if not texts:
        raise InputError("there are no texts to take the activity of gates on")
    homes = locate(model, "gate_proj")
    reading = reading_of_texts(model, max_length, chat)
    means = mean_over_texts(model, tokenizer, texts, homes, reading, take="magnitudes", progress=progress)
    return {
        layer: torch.cat([means[home][home.start :: home.step][: home.count] for home in own])
        for layer, own in by_layer(homes).items()
    }
