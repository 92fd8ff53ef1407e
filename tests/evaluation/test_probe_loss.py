from typing import Any

import pytest
import torch

from evaluation.probe_loss import probe_loss
from surgery import Probe, collect_hidden_states
from surgery.errors import InputError

TEXTS = ["w1 w2", "w3", "w4 w5 w6", "w7 w8"]
LABELS = [1, 0, 0, 1]
IDS = ["a", "b", "c", "d"]


def make_probe(layer: int | None = 1) -> Probe:
    generator = torch.Generator().manual_seed(0)
    return Probe(torch.randn(2, 32, generator=generator), torch.tensor([0.5, -0.5]), layer=layer)


def test_losses_are_the_cross_entropy_of_each_class(model: Any, tokenizer: Any) -> None:
    probe = make_probe()
    states = collect_hidden_states(model, tokenizer, TEXTS, layers=[1])[1]
    avoided, other = probe_loss(model, tokenizer, probe, TEXTS, LABELS, IDS)
    likelihoods = (states @ probe.weight.T + probe.bias).log_softmax(-1)
    expected = [-float(row[label]) for row, label in zip(likelihoods, LABELS, strict=True)]
    assert (avoided.name, other.name) == ("probe/loss_avoided", "probe/loss_other")
    assert (avoided.sample_ids, other.sample_ids) == (("a", "d"), ("b", "c"))
    assert (avoided.inputs, other.inputs) == (("w1 w2", "w7 w8"), ("w3", "w4 w5 w6"))
    assert avoided.scores.tolist() == pytest.approx([expected[0], expected[3]], rel=1e-5)
    assert other.scores.tolist() == pytest.approx([expected[1], expected[2]], rel=1e-5)


def test_a_class_without_texts_has_no_measurement(model: Any, tokenizer: Any) -> None:
    (only,) = probe_loss(model, tokenizer, make_probe(), TEXTS, [1] * 4, IDS)
    assert only.name == "probe/loss_avoided"


def test_a_probe_without_a_layer_and_other_labels_are_refused(model: Any, tokenizer: Any) -> None:
    with pytest.raises(InputError, match="which layer"):
        probe_loss(model, tokenizer, make_probe(layer=None), TEXTS, LABELS, IDS)
    with pytest.raises(InputError, match="0 and 1"):
        probe_loss(model, tokenizer, make_probe(), TEXTS, [1, 2, 0, 0], IDS)
