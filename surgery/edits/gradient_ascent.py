"""Gradient ascent on the probe's loss with the language model trainable and the probe fixed (Table 12)."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from surgery.edits.new_weights import NewWeights
from surgery.errors import InputError
from surgery.model.fingerprints import fingerprint
from surgery.probe.probe import Probe
from surgery.states.hidden_states import pooled_batch
from surgery.states.text_batches import encode_texts, reading_of_texts
from surgery.tokens.encoding import padding_id


def ascend_probe_loss(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    probe: Probe,
    texts: Sequence[str],
    *,
    lr: float = 1e-5,
    epochs: int = 1,
    batch_size: int = 16,
    max_length: int = 100,
    chat: bool = False,
    seed: int = 0,
) -> NewWeights:
    """Moves all weights so that the probe takes the behavior's own texts for others; the model is left as it was.

    Each step of Adam raises the mean cross-entropy of P(avoided | x̄), at the probe's layer, on a batch of texts. Only
    texts of the behavior are taken: raised on both classes alike, the loss would have the model swap them.

    Args:
        model: on one device; its weights are trained in place and put back to the bit.
        probe: of this model; it says the layer.
        texts: of the class to avoid.
        lr, epochs, batch_size: of Adam.
        max_length, chat: as in `collect_hidden_states`.
        seed: of the order of the texts.

    Raises:
        InputError: for no texts, a probe without a layer, or training that ran into NaN or changed nothing.
    """
    if not texts or probe.layer is None:
        raise InputError("gradient ascent needs texts of the behavior, and a probe that says which layer it reads")
    began_from, layer = fingerprint(model), probe.layer
    encoded = encode_texts(model, tokenizer, texts, reading_of_texts(model, max_length, chat)).ids
    pad = padding_id(model, tokenizer)
    parameters = dict(model.named_parameters())
    before = {name: parameter.detach().to("cpu", copy=True) for name, parameter in parameters.items()}
    trainable = {name: parameter.requires_grad for name, parameter in parameters.items()}
    order = torch.Generator().manual_seed(seed)
    try:
        with torch.enable_grad():
            optimizer = torch.optim.Adam(model.requires_grad_(True).parameters(), lr=lr)
            for _ in range(epochs):
                for batch in torch.randperm(len(encoded), generator=order).split(batch_size):
                    inputs = padded([encoded[i] for i in batch.tolist()], pad, model.device)
                    features = pooled_batch(model, inputs, [layer])[layer]
                    optimizer.zero_grad()
                    (-probe.losses(features, torch.ones(len(features))).mean()).backward()
                    optimizer.step()
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
        raise InputError(f"gradient ascent ran into NaN or infinite numbers; take a smaller method.lr than {lr}")
    return NewWeights(trained, began_from)


def padded(encoded: Sequence[list[int]], pad: int, device: torch.device) -> dict[str, torch.Tensor]:
    """A batch of token ids [b, t], padded on the right, with its attention mask."""
    width = max(map(len, encoded))
    ids = torch.tensor([one + [pad] * (width - len(one)) for one in encoded])
    mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in encoded])
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
