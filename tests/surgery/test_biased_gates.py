"""The bias that surgery amounts to on average, against a forward pass by hand."""

import numpy as np
import pytest
import torch

from surgery import InputError, rank_rows
from surgery.activity.gate_inputs import GateInputs, mean_gate_inputs
from surgery.edits.biased_gates import GateBias
from surgery.edits.changed_checkpoint import save_changed_checkpoint
from surgery.edits.intervention import load_intervention
from surgery.model.fingerprints import fingerprint
from tools.tiny_models import WIDTH, tiny_model

TEXTS = ["w1 w2 w3 w4 w5", "w6 w7", "w8 w9 w10 w11"]


def gates_by_hand(by_hand, model, tokenizer, text: str) -> list[np.ndarray]:
    return [gates for gates, _ in by_hand(model, tokenizer(text)["input_ids"])]


def inputs_by_hand(by_hand, model, tokenizer, text: str, layer: int) -> np.ndarray:
    """What a layer's MLP reads at each token, [t, d]: from its gates, which are that times a matrix of full rank."""
    gates = gates_by_hand(by_hand, model, tokenizer, text)[layer - 1]
    weight = model.model.layers[layer - 1].mlp.gate_proj.weight.double().numpy()
    return np.linalg.lstsq(weight, gates.T, rcond=None)[0].T


def test_the_mean_input_is_that_over_tokens_and_then_texts(model, tokenizer, by_hand, tmp_path) -> None:
    found = mean_gate_inputs(model, tokenizer, TEXTS).means
    for layer in range(1, 5):
        each = [inputs_by_hand(by_hand, model, tokenizer, text, layer).mean(0) for text in TEXTS]
        expected = np.mean(each, axis=0)
        np.testing.assert_allclose(found[f"model.layers.{layer - 1}.mlp.gate_proj.weight"], expected, atol=1e-5)
    GateInputs(found).save(tmp_path / "means")
    assert all(torch.equal(found[name], mean) for name, mean in GateInputs.load(tmp_path / "means").means.items())


def test_every_gate_of_the_region_is_biased_and_no_other(model, tokenizer, direction, by_hand) -> None:
    means = mean_gate_inputs(model, tokenizer, TEXTS).means
    # One layer alone: what those above it read is the same then, up to it.
    region = rank_rows(model, direction, layers=[3]).lowest(6)
    gate_bias = GateBias(direction, 2.0, region, means, "unit")
    ids = tokenizer("w1 w20 w30 w2")["input_ids"]
    expected = by_hand(model, ids)[2][0].copy()
    mean = means["model.layers.2.mlp.gate_proj.weight"].double().numpy()
    towards = direction.double().numpy()
    expected[:, region.rows[3].numpy()] += 2.0 * towards @ mean / np.linalg.norm(towards)
    seen = []
    handle = model.model.layers[2].mlp.gate_proj.register_forward_hook(lambda module, args, out: seen.append(out))
    with gate_bias.applied_to(model) as receipt:
        model(torch.tensor([ids]))
    handle.remove()
    np.testing.assert_allclose(seen[0][0].numpy(), expected, atol=1e-4)
    bias = abs(2.0 * towards @ mean / np.linalg.norm(towards))
    assert receipt.max_abs_change == pytest.approx(bias, rel=1e-5)
    assert receipt.frobenius_norm == pytest.approx(bias * 6**0.5, rel=1e-5)


def test_on_a_text_of_one_token_it_is_surgery(model, tokenizer, direction, make_edit) -> None:
    """Where every input is the mean, the bias of one layer is the edit itself."""
    region = rank_rows(model, direction, layers=[2]).lowest(8)
    means = mean_gate_inputs(model, tokenizer, ["w5"]).means
    edit = type(make_edit(model))(direction, 1.5, region)
    ids = torch.tensor([tokenizer("w5")["input_ids"]])
    with edit.applied_to(model):
        edited = model(ids).logits
    with GateBias(direction, 1.5, region, means).applied_to(model):
        torch.testing.assert_close(model(ids).logits, edited, atol=1e-4, rtol=1e-4)


def test_gates_in_a_fused_matrix_are_its_first_half(phi3, tokenizer, direction, by_hand) -> None:
    region = rank_rows(phi3, direction, layers=[1]).lowest(5)
    means = mean_gate_inputs(phi3, tokenizer, TEXTS).means
    gate_bias, ids, seen = GateBias(direction, 1.0, region, means), tokenizer("w4 w5 w6")["input_ids"], []
    module = phi3.model.layers[0].mlp.gate_up_proj
    handle = module.register_forward_hook(lambda module, args, out: seen.append(out))
    with gate_bias.applied_to(phi3):
        phi3(torch.tensor([ids]))
    phi3(torch.tensor([ids]))
    handle.remove()
    change = (seen[0] - seen[1])[0]
    expected = torch.zeros_like(change)
    expected[:, region.rows[1]] = float(direction @ means["model.layers.0.mlp.gate_up_proj.weight"])
    torch.testing.assert_close(change, expected, atol=1e-5, rtol=1e-4)


def test_nothing_is_left_of_it_and_a_saved_one_is_the_same(model, tokenizer, direction, bits, tmp_path) -> None:
    region, before = rank_rows(model, direction).lowest(12), bits(model)
    gate_bias = GateBias(direction, 1.0, region, mean_gate_inputs(model, tokenizer, TEXTS).means)
    with pytest.raises(ZeroDivisionError), gate_bias.applied_to(model):
        assert bits(model) == before and fingerprint(model) != gate_bias.base_fingerprint
        raise ZeroDivisionError
    assert fingerprint(model) == gate_bias.base_fingerprint
    assert not any(module._forward_hooks for module in model.modules())
    gate_bias.save(tmp_path / "one")
    again = load_intervention(tmp_path / "one")
    assert isinstance(again, GateBias) and again.fingerprint == gate_bias.fingerprint
    assert str(again) == "a bias on the gates of 12 of 96 rows by lowest cosine"
    assert GateBias(direction, 1.1, region, gate_bias.means).fingerprint != gate_bias.fingerprint


def test_it_has_no_checkpoint_and_no_place_in_experts(folder, model, tokenizer, direction, tmp_path) -> None:
    means = mean_gate_inputs(model, tokenizer, TEXTS).means
    gate_bias = GateBias(direction, 1.0, rank_rows(model, direction).lowest(3), means)
    with pytest.raises(InputError, match="adds a bias to gates while the model runs and changes no weight"):
        save_changed_checkpoint([gate_bias], folder, tmp_path / "out")
    with pytest.raises(InputError, match="region holds rows of up_proj"):
        GateBias(direction, 1.0, rank_rows(model, direction, "up_proj").lowest(3), means)
    with pytest.raises(InputError, match="no mean input of"):
        GateBias(direction, 1.0, gate_bias.region, {})
    experts = tiny_model("mixtral")
    towards = torch.randn(WIDTH, generator=torch.Generator().manual_seed(3))
    with pytest.raises(InputError, match="experts in one tensor"):
        GateBias(towards, 1.0, rank_rows(experts, towards).lowest(3), {})
