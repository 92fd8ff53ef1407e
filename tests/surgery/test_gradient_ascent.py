"""Gradient ascent on the probe's loss, against a step of Adam written by hand."""

from dataclasses import replace

import pytest
import torch

from surgery import InputError, Probe, fingerprint
from surgery.edits.intervention import load_intervention
from surgery.edits.new_weights import NewWeights
from surgery.training.probe_ascent import ascend_probe_loss

TEXTS = ["w1 w2 w3 w4", "w5 w6"]


@pytest.fixture
def probe(direction) -> Probe:
    return Probe(torch.stack([-direction, direction]), torch.zeros(2), layer=2)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_the_first_step_goes_up_the_loss_of_the_avoided_class(model, tokenizer, probe, bits, pooling) -> None:
    """Adam's first step is lr·sign(gradient); the gradient is taken here through hidden_states of the whole model."""
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    trained = ascend_probe_loss(model, tokenizer, replace(probe, pooling=pooling), TEXTS, lr=1e-3).trained
    model.requires_grad_(True)
    losses = []
    for text in TEXTS:
        states = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[2]
        read = states[0][-1] if pooling == "last" else states[0].mean(0)
        losses.append(-torch.log_softmax(read @ probe.weight.T, 0)[1])
    (sum(losses) / 2).backward()
    for name, parameter in model.named_parameters():
        if name not in trained:
            assert parameter.grad is None or not parameter.grad.any()
            continue
        clear = parameter.grad.abs() > 1e-4
        expected = before[name] + 1e-3 * parameter.grad.sign()
        torch.testing.assert_close(trained[name][clear], expected[clear], atol=2e-6, rtol=0)
    # What lies above the probe's layer has no say in its loss.
    assert {name.split(".")[2] for name in trained if ".layers." in name} == {"0", "1"}


def test_training_leaves_the_model_as_it_was(model, tokenizer, probe, bits) -> None:
    before, name = bits(model), fingerprint(model)
    change = ascend_probe_loss(model, tokenizer, probe, TEXTS, lr=1e-3, epochs=2, batch_size=1)
    assert bits(model) == before
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in model.parameters())
    with change.applied_to(model):
        assert {key for key, values in bits(model).items() if values != before[key]} == set(change.trained)
    assert bits(model) == before
    assert fingerprint(model) == name


def test_alpha_goes_part_of_the_way(model, tokenizer, probe) -> None:
    whole = ascend_probe_loss(model, tokenizer, probe, TEXTS, lr=1e-2)
    name = next(iter(whole.trained))
    before = dict(model.named_parameters())[name].clone()
    with NewWeights(whole.trained, whole.base_fingerprint, -0.5).applied_to(model):
        after = dict(model.named_parameters())[name].clone()
    torch.testing.assert_close(after, before - 0.5 * (whole.trained[name] - before))


def test_its_file_gives_it_back(model, tokenizer, probe, tmp_path) -> None:
    change = ascend_probe_loss(model, tokenizer, probe, TEXTS, lr=1e-3)
    change.save(tmp_path / "change.safetensors")
    assert load_intervention(tmp_path / "change.safetensors").fingerprint == change.fingerprint


def test_a_step_that_breaks_the_weights_is_refused_and_taken_back(model, tokenizer, probe, bits) -> None:
    before = bits(model)
    with pytest.raises(InputError, match="smaller method"):
        ascend_probe_loss(model, tokenizer, probe, TEXTS, lr=1e30, epochs=3)
    assert bits(model) == before
