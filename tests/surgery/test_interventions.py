"""The methods that surgery is compared with, against arithmetic by hand."""

import pytest
import torch

from surgery import InputError, collect_hidden_states, fingerprint, load_model
from surgery.edits.ablation import Ablation
from surgery.edits.changed_checkpoint import save_changed_checkpoint
from surgery.edits.intervention import load_intervention
from surgery.edits.steering import LayeredSteering, Steering
from tools.tiny_models import WIDTH, tiny_model

TEXTS = ["w1 w2 w3 w4", "w5 w6"]


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.arange(2, 12).unsqueeze(0)).logits


def test_steering_after_the_last_block_is_the_norm_and_head_of_the_shifted_stream(model, direction) -> None:
    inputs = torch.arange(2, 12).unsqueeze(0)
    streams = []
    handle = model.model.layers[-1].register_forward_hook(lambda module, args, output: streams.append(output))
    expected_base = logits(model)
    handle.remove()
    stream = streams[0] if isinstance(streams[0], torch.Tensor) else streams[0][0]
    with torch.no_grad():
        expected = model.lm_head(model.model.norm(stream - 1.5 * direction))
    with Steering(direction, 1.5, 4, fingerprint(model)).applied_to(model):
        torch.testing.assert_close(model(inputs).logits, expected)
    assert torch.equal(logits(model), expected_base)


def test_steering_moves_what_a_probe_reads_by_minus_alpha_times_the_unit_direction(model, tokenizer, direction) -> None:
    before = collect_hidden_states(model, tokenizer, TEXTS, [1, 2, 3])
    with Steering(direction, 2.0, 2, fingerprint(model), "unit").applied_to(model):
        after = collect_hidden_states(model, tokenizer, TEXTS, [1, 2, 3])
    assert torch.equal(before[1], after[1])
    torch.testing.assert_close(after[2], before[2] - 2 * direction / direction.norm())
    assert not torch.allclose(before[3], after[3])


def test_steering_holds_at_every_step_of_generation(model, direction) -> None:
    prompt = torch.tensor([[5, 6, 7]])
    with Steering(direction, 3.0, 3, fingerprint(model)).applied_to(model):
        cached = model.generate(prompt, max_new_tokens=6, do_sample=False, use_cache=True)
        uncached = model.generate(prompt, max_new_tokens=6, do_sample=False, use_cache=False)
    assert torch.equal(cached, uncached)
    assert not torch.equal(cached, model.generate(prompt, max_new_tokens=6, do_sample=False))


def test_steering_of_several_layers_adds_up_and_is_that_of_one_where_it_is_one(model, tokenizer, direction) -> None:
    """Each layer has its own direction at norm 1, and the second is moved by what its input was moved by, too."""
    name, other = fingerprint(model), direction.flip(0)
    both = LayeredSteering({3: other, 2: direction}, 2.0, name, "unit")
    with both.applied_to(model) as receipt:
        after = collect_hidden_states(model, tokenizer, TEXTS, [2, 3])
    with Steering(direction, 2.0, 2, name, "unit").applied_to(model):
        first = collect_hidden_states(model, tokenizer, TEXTS, [2, 3])
    torch.testing.assert_close(after[2], first[2])
    torch.testing.assert_close(after[3], first[3] - 2 * other / other.norm())
    assert receipt.rows_per_layer == {2: 0, 3: 0}
    assert receipt.frobenius_norm == pytest.approx(8**0.5)
    with LayeredSteering({2: direction}, 2.0, name, "unit").applied_to(model):
        one = collect_hidden_states(model, tokenizer, TEXTS, [3])
    assert torch.equal(one[3], first[3])


def test_steering_says_what_it_can_not_steer(folder, model, direction, tmp_path) -> None:
    name = fingerprint(model)
    with pytest.raises(InputError, match="no layer to steer"):
        LayeredSteering({}, 1.0, name)
    for directions, said in (({5: direction}, "layer=5 is not in this model"), ({1: direction[:3]}, "3 entries")):
        with pytest.raises(InputError, match=said), LayeredSteering(directions, 1.0, name).applied_to(model):
            pass
    with pytest.raises(InputError, match="changes no weight"):
        save_changed_checkpoint([LayeredSteering({1: direction}, 1.0, name)], folder, tmp_path / "out")


def test_ablated_weights_write_nothing_along_the_direction(model, direction) -> None:
    originals = {name: parameter.clone() for name, parameter in model.named_parameters()}
    unit = direction / direction.norm()
    with Ablation(direction, 1.0, fingerprint(model)).applied_to(model) as receipt:
        for name, parameter in model.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                projector = torch.eye(16) - torch.outer(unit, unit)
                torch.testing.assert_close(parameter, projector @ originals[name], atol=1e-5, rtol=1e-5)
            elif "embed" in name:
                assert (parameter @ unit).abs().max() < 1e-5
            else:
                assert torch.equal(parameter, originals[name])
    assert set(receipt.rows_per_layer) == {0, 1, 2, 3, 4}


def test_alpha_is_the_share_that_is_taken_out(model, direction) -> None:
    unit, before = direction / direction.norm(), model.model.layers[1].mlp.down_proj.weight.clone()
    with Ablation(direction, 0.25, fingerprint(model)).applied_to(model):
        after = model.model.layers[1].mlp.down_proj.weight.clone()
    torch.testing.assert_close(unit @ after, 0.75 * (unit @ before))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_interventions_leave_no_trace_also_after_an_error(folder, direction, bits, dtype: str) -> None:
    model, _ = load_model(str(folder), device="cpu", dtype=dtype)
    before, name = bits(model), fingerprint(model)
    layered = LayeredSteering({1: direction, 4: direction}, 1.0, name)
    for one in (Steering(direction, 1.0, 2, name), layered, Ablation(direction, 1.0, name)):
        with pytest.raises(ZeroDivisionError), one.applied_to(model):
            assert fingerprint(model) not in (name, one.fingerprint)
            raise ZeroDivisionError
        assert bits(model) == before
        assert fingerprint(model) == name
        assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("kind", ["steering", "layered", "ablation"])
def test_a_saved_intervention_is_the_same_and_a_changed_one_is_refused(model, direction, tmp_path, kind: str) -> None:
    name = fingerprint(model)
    one = {
        "steering": Steering(direction, 1.5, 2, name, "unit"),
        "layered": LayeredSteering({2: direction, 3: -direction, 4: direction}, 1.5, name, "unit"),
        "ablation": Ablation(direction, 1.5, name),
    }[kind]
    one.save(tmp_path / "one.safetensors")
    again = load_intervention(tmp_path / "one.safetensors")
    assert type(again) is type(one)
    assert again.fingerprint == one.fingerprint
    data = bytearray((tmp_path / "one.safetensors").read_bytes())
    data[-2] ^= 1
    (tmp_path / "one.safetensors").write_bytes(data)
    with pytest.raises(InputError, match="changed after it was saved"):
        load_intervention(tmp_path / "one.safetensors")


def test_another_model_is_refused(model, other_model, direction) -> None:
    for one in (Steering(direction, 1.0, 2, fingerprint(model)), Ablation(direction, 1.0, fingerprint(model))):
        with pytest.raises(InputError, match="made for model"), one.applied_to(other_model):
            pass


def test_an_ablated_checkpoint_is_the_model_in_memory(folder, model, direction, tmp_path, bits) -> None:
    one = Ablation(direction, 1.0, fingerprint(model))
    save_changed_checkpoint([one], folder, tmp_path / "out")
    with one.applied_to(model):
        assert bits(load_model(str(tmp_path / "out"), device="cpu")[0]) == bits(model)


def test_steering_has_no_checkpoint(folder, model, direction, tmp_path) -> None:
    with pytest.raises(InputError, match="changes no weight"):
        save_changed_checkpoint([Steering(direction, 1.0, 2, fingerprint(model))], folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_ablation_says_so_where_it_can_not_reach_every_layer() -> None:
    # Its first layer mixes by a state space, which writes to the stream too, but has no o_proj.
    model = tiny_model("bamba")
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(3))
    with (
        pytest.raises(InputError, match="some layers have no o_proj"),
        Ablation(direction, 1.0, fingerprint(model)).applied_to(model),
    ):
        pass


def test_every_expert_is_ablated() -> None:
    model = tiny_model("mixtral")
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(3))
    down = dict(model.named_parameters())["model.layers.1.mlp.experts.down_proj"]
    before = down.clone()
    with Ablation(direction, 1.0, fingerprint(model)).applied_to(model):
        written = torch.einsum("d,edf->ef", direction, down)
        assert written.abs().max() < 1e-5 < torch.einsum("d,edf->ef", direction, before).abs().min()
    assert torch.equal(down, before)
