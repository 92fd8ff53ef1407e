"""How well a probe still reads the behavior from a model's hidden states."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import surgery
from evaluation.measurements.measurement import Measurement
from surgery.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from surgery.probe.probe import Probe


# Fixed, since the shape of a batch can change the last bits of a loss.
TOKENS_PER_BATCH = 8192


def probe_loss(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    probe: "Probe",
    texts: Sequence[str],
    labels: Sequence[int],
    ids: Sequence[str],
    *,
    max_length: int = 100,
    chat: bool = False,
) -> list[Measurement]:
    """Cross-entropy of the probe on each text, in nats, by class (Table 13 of the paper).

    The probe stays as it was trained on the base model. When surgery moves hidden states away from the behavior,
    its loss rises on the texts of the avoided class and falls on the others.

    Args:
        labels: 1 for the avoided class, 0 for the others; [n].
        ids: n different names of the texts.
        max_length: longest text in tokens; the paper's is 100.
        chat: put each text into the tokenizer's chat template, as a user's turn.

    Returns:
        `probe/loss_avoided` and `probe/loss_other`; a class without texts has none.

    Raises:
        InputError: when the probe's file does not say its layer, or labels are not 0 and 1.
    """
    import torch

    if probe.layer is None:
        raise InputError("this probe's file does not say which layer it reads; give a probe that was fitted here")
    if not set(labels) <= {0, 1}:
        raise InputError(f"the labels of the probe's texts are {sorted(set(labels))}; they have to be 0 and 1")
    states = surgery.collect_hidden_states(
        model,
        tokenizer,
        texts,
        [probe.layer],
        max_length=max_length,
        chat=chat,
        pooling=probe.pooling,
        tokens_per_batch=TOKENS_PER_BATCH,
    )
    losses = probe.losses(states[probe.layer], torch.tensor(list(labels))).double().numpy()
    of_class = {label: [index for index, given in enumerate(labels) if given == label] for label in (0, 1)}
    return [
        Measurement(
            name=name,
            half="report",
            sample_ids=tuple(ids[i] for i in of_class[label]),
            scores=losses[of_class[label]],
            inputs=tuple(texts[i] for i in of_class[label]),
            rendered=tuple(states.shown[i] for i in of_class[label]) if chat else None,
            notes=states.batches,
        )
        for name, label in (("probe/loss_avoided", 1), ("probe/loss_other", 0))
        if of_class[label]
    ]
