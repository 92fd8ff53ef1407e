"""Gradient ascent on the probe's loss with the language model trainable and the probe fixed (Table 12)."""

from collections.abc import Sequence
from typing import Unpack

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from surgery.edits.new_weights import NewWeights
from surgery.errors import InputError
from surgery.model.fingerprints import fingerprint
from surgery.probe.probe import Probe
from surgery.states.hidden_states import pooled_batch
from surgery.states.text_batches import encode_texts, reading_of_texts
from surgery.tokens.encoding import padding_id
from surgery.tokens.padding import padded
from surgery.training.training import Training, first_of, shuffled_batches


def ascend_probe_loss(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    probe: Probe,
    texts: Sequence[str],
    **training: Unpack[Training],
) -> NewWeights:
    """Moves all weights so that the probe takes the behavior's own texts for others; the model is left as it was.

    Each step of Adam raises the mean cross-entropy of P(avoided | x̄), at the probe's layer, on a batch of texts. Only
    texts of the behavior are taken: raised on both classes alike, the loss would have the model swap them.

    Args:
        model: on one device; its weights are trained in place and put back to the bit.
        probe: of this model; it says the layer.
        texts: of the class to avoid.
        training: by default one epoch of Adam with lr 1e-5, in batches of 16 texts of at most 100 tokens, seed 0.

    Raises:
        InputError: for no texts, a probe without a layer, or training that ran into NaN or changed nothing.
    """
    if not texts or probe.layer is None:
        raise InputError("gradient ascent needs texts of the behavior, and a probe that says which layer it reads")
    began_from = fingerprint(model)
    reading = reading_of_texts(model, training.get("max_length", 100), training.get("chat", False))
    encoded = encode_texts(model, tokenizer, texts, reading).ids
    parameters = dict(model.named_parameters())
    before = {name: parameter.detach().to("cpu", copy=True) for name, parameter in parameters.items()}
    trainable = {name: parameter.requires_grad for name, parameter in parameters.items()}
    try:
        _ascend(model, probe, encoded, padding_id(model, tokenizer), training)
        trained = {
            name: parameter.detach().to("cpu", copy=True)
            for name, parameter in parameters.items()
            if not torch.equal(parameter.detach().cpu(), before[name])
        }
    finally:
        for name, parameter in parameters.items():
            parameter.grad = None
            parameter.requires_grad_(trainable[name])
            parameter.data.copy_(before[name])
    if not all(values.isfinite().all() for values in trained.values()):
        raise InputError(
            f"gradient ascent ran into NaN or infinite numbers; take a smaller method.lr than {_lr(training)}"
        )
    return NewWeights(trained, began_from)


def _lr(training: Training) -> float:
    return training.get("lr", 1e-5)


def _ascend(model: PreTrainedModel, probe: Probe, encoded: Sequence[list[int]], pad: int, training: Training) -> None:
    assert probe.layer is not None
    order = torch.Generator().manual_seed(training.get("seed", 0))
    with torch.enable_grad():
        optimizer = torch.optim.Adam(model.requires_grad_(True).parameters(), lr=_lr(training))
        size = training.get("batch_size", 16)
        steps = training.get("epochs", 1) * -(-len(encoded) // size)
        batches = shuffled_batches(len(encoded), size, order)
        for batch in first_of(batches, steps, "gradient ascent", training.get("progress", False)):
            inputs = padded([encoded[i] for i in batch], pad, model.device)
            features = pooled_batch(model, inputs, [probe.layer], probe.pooling)[probe.layer]
            optimizer.zero_grad()
            (-probe.losses(features, torch.ones(len(features))).mean()).backward()
            optimizer.step()
