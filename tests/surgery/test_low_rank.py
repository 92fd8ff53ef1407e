"""A change of low rank as an intervention, against sums by hand and against PEFT."""

import copy
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, Phi3Config

from surgery import Edit, InputError, fingerprint, load_model, rank_rows
from surgery.changes.factors import Factors
from surgery.edits.ablation import Ablation
from surgery.edits.changed_checkpoint import save_changed_checkpoint
from surgery.edits.intervention import load_intervention
from surgery.edits.low_rank import LowRankChange
from surgery.edits.new_weights import NewWeights
from surgery.edits.steering import Steering
from surgery.export.adapter import save_adapter
from surgery.export.checkpoint import save_checkpoint
from surgery.export.checkpoint_check import verify_checkpoint

Q, DOWN = "model.layers.0.self_attn.q_proj.weight", "model.layers.2.mlp.down_proj.weight"
# float32: PEFT sums the terms of a product in another order.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
TOKENS = torch.arange(2, 22).reshape(2, 10)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS).logits


def loaded(folder: Path) -> Any:
    """A model without a tokenizer, in the dtype of its files."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval().requires_grad_(False)


def random_change(model: Any, alpha: float = 1.0, scale: float = 0.1) -> LowRankChange:
    """Of rank 3 in a square matrix of the first layer and a wide one of the third."""
    random = torch.Generator().manual_seed(8)
    trained = []
    for parameter, layer in ((Q, 1), (DOWN, 3)):
        out, into = model.get_parameter(parameter).shape
        a, b = torch.randn(3, into, generator=random), scale * torch.randn(out, 3, generator=random)
        trained.append(Factors(parameter, layer, a, b))
    return LowRankChange(tuple(trained), fingerprint(model), alpha)


def by_hand(model: Any, change: LowRankChange) -> dict[str, np.ndarray]:
    """Every weight after the change, in float64."""
    weights = {name: parameter.double().numpy().copy() for name, parameter in model.named_parameters()}
    for one in change.trained:
        weights[one.parameter] += change.alpha * (one.b.double().numpy() @ one.a.double().numpy())
    return weights


@pytest.mark.parametrize("alpha", [1.0, 0.3, -2.5])
def test_alpha_times_the_product_is_added_to_each_of_its_weights_and_to_no_other(model, alpha: float) -> None:
    change = random_change(model, alpha)
    expected, before = by_hand(model, change), {name: p.clone() for name, p in model.named_parameters()}
    with change.applied_to(model) as receipt:
        for name, parameter in model.named_parameters():
            np.testing.assert_allclose(parameter.numpy(), expected[name], rtol=1e-6, atol=1e-6)
    deltas = [expected[name] - before[name].double().numpy() for name in (Q, DOWN)]
    assert receipt.rows_per_layer == {1: 16, 3: 16}
    assert receipt.rows == 32
    assert receipt.max_abs_change == pytest.approx(max(abs(delta).max() for delta in deltas), rel=1e-5)
    assert receipt.frobenius_norm == pytest.approx(math.sqrt(sum((delta**2).sum() for delta in deltas)), rel=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_sum_is_rounded_once_and_the_very_bits_come_back(folder, bits, dtype: str) -> None:
    model, _ = load_model(str(folder), device="cpu", dtype=dtype)
    change, before, name = random_change(model, 0.7), bits(model), fingerprint(model)
    expected = by_hand(model, change)
    with pytest.raises(ZeroDivisionError), change.applied_to(model):
        assert fingerprint(model) not in (name, change.fingerprint)
        for parameter in (Q, DOWN):
            # Half a unit in the last place, and float32's own error where a sum lies between two numbers.
            unit = {"float32": 2**-23, "bfloat16": 2**-8, "float16": 2**-11}[dtype]
            got = model.get_parameter(parameter).double().numpy()
            np.testing.assert_allclose(got, expected[parameter], rtol=unit, atol=1e-6)
        raise ZeroDivisionError
    assert bits(model) == before
    assert fingerprint(model) == name


def test_what_changes_nothing_or_makes_nan_or_is_of_another_model_is_refused(model, other_model, bits) -> None:
    before, change = bits(model), random_change(model)
    with pytest.raises(InputError, match="no weight would change"), random_change(model, scale=1e-12).applied_to(model):
        pass
    # The first matrix is written by then.
    too_large = replace(change.trained[1], b=torch.full((16, 3), 3e38), a=torch.full((3, 24), 2.0))
    broken = replace(change, trained=(change.trained[0], too_large))
    with pytest.raises(InputError, match=f"NaN or infinite numbers in {Q}|{DOWN}"), broken.applied_to(model):
        pass
    with pytest.raises(InputError, match="made for model"), change.applied_to(other_model):
        pass
    narrow = replace(change.trained[0], a=torch.ones(3, 15))
    with (
        pytest.raises(InputError, match=r"no .*q_proj.weight of shape \[16, 15\]"),
        replace(change, trained=(narrow,)).applied_to(model),
    ):
        pass
    assert bits(model) == before
    assert fingerprint(model) == change.base_fingerprint


def test_what_is_no_change_of_low_rank_can_not_be_made(model) -> None:
    change = random_change(model)
    one = change.trained[0]
    for bad in ({"a": torch.ones(2, 16)}, {"b": torch.ones(16)}, {"a": one.a.double()}, {"a": one.a.to(torch.int32)}):
        with pytest.raises(InputError, match=r"are not the A \[r, in\] and B \[out, r\]"):
            replace(one, **bad)
    with pytest.raises(InputError, match="NaN or infinite"):
        replace(one, a=one.a * math.nan)
    with pytest.raises(InputError, match="no layer"):
        replace(one, layer=-1)
    with pytest.raises(InputError, match="more than one change"):
        replace(change, trained=(one, one))
    with pytest.raises(InputError, match="changed no weight"):
        replace(change, trained=())
    for alpha in (0.0, math.nan, math.inf):
        with pytest.raises(InputError, match="alpha"):
            replace(change, alpha=alpha)
    with pytest.raises(InputError, match="take a smaller alpha"), replace(change, alpha=1e39).applied_to(model):
        pass


def peft_of(model: Any, rank: int = 3) -> tuple[Any, LowRankChange]:
    """A copy of the model with random LoRA weights of PEFT's own on every linear layer, and what they are to us."""
    config = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=rank, target_modules="all-linear")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        adapted: Any = get_peft_model(copy.deepcopy(model), config).eval()
    random, trained = torch.Generator().manual_seed(9), []
    for name, module in adapted.base_model.model.named_modules():
        if isinstance(module, LoraLayer):
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            for half in (a, b):
                half.data = 0.1 * torch.randn(half.shape, generator=random)
            trained.append(Factors(f"{name}.weight", 0, a.data.clone(), b.data.clone(), module.fan_in_fan_out))
    return adapted, LowRankChange(tuple(trained), fingerprint(model))


@pytest.fixture(params=["Llama", "GPT2", "Phi3"])
def any_model(request, build, model, sizes) -> Any:
    """One with plain matrices, one that keeps them transposed, one with fused ones."""
    if request.param == "GPT2":
        return build(GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2, n_positions=64, pad_token_id=1))
    return build(Phi3Config(**sizes)) if request.param == "Phi3" else model


def test_applied_it_is_pefts_forward_and_pefts_merge(any_model) -> None:
    adapted, change = peft_of(any_model)
    assert len(change.trained) > 7 and (any_model.config.model_type == "gpt2") == change.trained[0].transposed
    unmerged, base = logits(adapted), logits(any_model)
    merged = dict(adapted.merge_and_unload().named_parameters())
    with change.applied_to(any_model):
        torch.testing.assert_close(logits(any_model), unmerged, **TOLERANCE)
        for name, parameter in any_model.named_parameters():
            torch.testing.assert_close(parameter.data, merged[name].data, rtol=1e-6, atol=1e-6)
    assert (unmerged - base).abs().max() > 0.05


@pytest.mark.parametrize("alpha", [1.0, -0.6])
def test_its_adapter_is_pefts_and_loads_without_a_warning(any_model, tmp_path: Path, alpha: float) -> None:
    change = replace(peft_of(any_model)[1], alpha=alpha)
    save_adapter([change], tmp_path / "adapter", base="owner/model")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        adapted: Any = PeftModel.from_pretrained(copy.deepcopy(any_model), str(tmp_path / "adapter")).eval()
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 3
    assert sorted(adapted.targeted_module_names) == sorted(one.module for one in change.trained)
    with change.applied_to(any_model):
        want, weights = logits(any_model), {name: p.clone() for name, p in any_model.named_parameters()}
    torch.testing.assert_close(logits(adapted), want, **TOLERANCE)
    for name, parameter in adapted.merge_and_unload().named_parameters():
        torch.testing.assert_close(parameter.data, weights[name].data, rtol=1e-6, atol=1e-6)


@pytest.fixture
def make_chain(direction, make_edit) -> Callable[[Any], list[Any]]:
    """An edit, a LoRA made in the edited model that shares a matrix with the next, and an edit of down_proj."""

    def make(model: Any) -> list[Any]:
        first = make_edit(model, 1.5, top_k=30)
        with first.applied_to(model):
            second = random_change(model, -0.5)
        return [first, second, Edit(direction, 2.0, rank_rows(model, direction, "down_proj", layers=[3, 4]).lowest(9))]

    return make


@pytest.fixture
def chain(model, make_chain) -> list[Any]:
    """`make_chain` of the model."""
    return make_chain(model)


@pytest.fixture
def chained(model, chain) -> dict[str, torch.Tensor]:
    """All weights, and the logits, under the chain."""
    with chain[0].applied_to(model), chain[1].applied_to(model), chain[2].applied_to(model):
        return {name: parameter.clone() for name, parameter in model.named_parameters()} | {"logits": logits(model)}


def test_a_chain_with_edits_is_one_adapter_whose_rank_is_the_sum(model, chain, chained, tmp_path) -> None:
    save_adapter(chain, tmp_path / "adapter")
    tensors = load_file(tmp_path / "adapter/adapter_model.safetensors")
    down = "base_model.model.model.layers.2.mlp.down_proj.lora_A.weight"
    assert {tensor.shape["lora_B" in name] for name, tensor in tensors.items()} == {5}
    # One slot for the first edit, which leaves it alone, three of the LoRA, one for the second edit.
    assert tensors[down].any(1).tolist() == [False, True, True, True, True]
    adapted: Any = PeftModel.from_pretrained(copy.deepcopy(model), str(tmp_path / "adapter")).eval()
    torch.testing.assert_close(logits(adapted), chained["logits"], **TOLERANCE)
    for name, parameter in adapted.merge_and_unload().named_parameters():
        torch.testing.assert_close(parameter.data, chained[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_chains_checkpoint_is_the_model_in_memory_bit_for_bit(build, make_chain, tmp_path, bits, dtype: str) -> None:
    base = tmp_path / "base"
    build().to(getattr(torch, dtype)).save_pretrained(base, max_shard_size="10KB")
    assert len(list(base.glob("*.safetensors"))) > 1
    model = loaded(base)
    chain = make_chain(model)
    receipts = save_checkpoint(chain, base, tmp_path / "out", verify=True)
    with (
        chain[0].applied_to(model) as one,
        chain[1].applied_to(model) as two,
        chain[2].applied_to(model) as three,
    ):
        assert bits(loaded(tmp_path / "out")) == bits(model)
    for written, applied in zip(receipts, (one, two, three), strict=True):
        assert written.rows_per_layer == applied.rows_per_layer
        assert written.max_abs_change == applied.max_abs_change
        assert written.frobenius_norm == pytest.approx(applied.frobenius_norm)
    kinds = [edit["kind"] for edit in json.loads((tmp_path / "out/surgery.json").read_text())["edits"]]
    assert kinds == ["Edit", "LowRankChange", "Edit"]
    with pytest.raises(InputError, match="other edits"):
        verify_checkpoint([chain[0], replace(chain[1], alpha=2.0), chain[2]], base, tmp_path / "out")


def test_a_checkpoint_that_would_be_the_base_is_refused(folder, model, tmp_path) -> None:
    with pytest.raises(InputError, match="no weight would change"):
        save_checkpoint([random_change(model, scale=1e-12)], folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_with_an_ablation_it_goes_into_a_checkpoint(folder, model, direction, tmp_path, bits) -> None:
    chain = [random_change(model), Ablation(direction, 1.0, fingerprint(model))]
    save_changed_checkpoint(chain, folder, tmp_path / "out")
    with chain[0].applied_to(model), chain[1].applied_to(model):
        assert bits(load_model(str(tmp_path / "out"), device="cpu")[0]) == bits(model)


def test_what_is_no_modules_matrix_has_no_adapter(model, tmp_path) -> None:
    one = replace(random_change(model).trained[0], parameter="model.layers.0.mlp.experts.gate_up_proj")
    with pytest.raises(InputError, match=r"layer 1 .* can't carry them; export a checkpoint"):
        save_adapter([LowRankChange((one,), fingerprint(model))], tmp_path / "adapter")
    assert not list(tmp_path.iterdir())


def test_saved_and_read_again_it_is_the_same(any_model, tmp_path) -> None:
    change = replace(peft_of(any_model)[1], alpha=-0.25)
    change.save(tmp_path / "one.safetensors")
    again = load_intervention(tmp_path / "one.safetensors")
    assert isinstance(again, LowRankChange)
    assert again.fingerprint == change.fingerprint
    with change.applied_to(any_model) as receipt:
        want = logits(any_model)
    with again.applied_to(any_model) as receipt_again:
        assert torch.equal(logits(any_model), want)
    assert receipt == receipt_again


def test_its_size_is_that_of_the_factors(model, tmp_path) -> None:
    change = random_change(model)
    change.save(tmp_path / "one.safetensors")
    numbers = 3 * (16 + 16) + 3 * (24 + 16)
    assert 4 * numbers < (tmp_path / "one.safetensors").stat().st_size < 4 * numbers + 1_000


def test_everything_that_decides_what_it_does_is_in_its_fingerprint(model) -> None:
    change = random_change(model)
    one, two = change.trained
    others = [
        replace(change, alpha=2.0),
        replace(change, base_fingerprint="0" * 16),
        replace(change, trained=(one,)),
        *(
            replace(change, trained=(other, two))
            for other in (
                replace(one, a=-one.a),
                replace(one, b=2 * one.b),
                replace(one, layer=2),
                replace(one, transposed=True),
                replace(one, parameter=Q.replace("q_proj", "o_proj")),
                # The same bytes as another shape.
                replace(one, a=one.a.reshape(6, 8), b=one.b.reshape(8, 6)),
            )
        ),
    ]
    assert len({other.fingerprint for other in (change, *others)}) == len(others) + 1
    assert replace(change, trained=(two, one)).fingerprint == change.fingerprint


Hostile = Callable[[dict[str, torch.Tensor], dict[str, Any]], object]
HOSTILE: dict[str, Hostile] = {
    "no description": lambda tensors, said: said.clear(),
    "a list for a description": lambda tensors, said: said.update({"whole": []}),
    "no fingerprint": lambda tensors, said: said.pop("fingerprint"),
    "another alpha": lambda tensors, said: said.update(alpha=2.0),
    "alpha as a word": lambda tensors, said: said.update(alpha="1"),
    "alpha NaN": lambda tensors, said: said.update(alpha=math.nan),
    "another base": lambda tensors, said: said.update(base_fingerprint="0" * 16),
    "layers as a list": lambda tensors, said: said.update(layers=[Q, DOWN]),
    "a layer as a word": lambda tensors, said: said["layers"].update({Q: "first"}),
    "no layers": lambda tensors, said: said.update(layers={}),
    "a matrix that is not there": lambda tensors, said: said["layers"].update({"x.weight": 1}),
    "a tensor too many": lambda tensors, said: tensors.update({"A.x.weight": torch.ones(1, 1)}),
    "half of a pair": lambda tensors, said: tensors.pop(f"B.{Q}"),
    "another value": lambda tensors, said: tensors[f"A.{Q}"].mul_(2),
    "another shape": lambda tensors, said: tensors.update({f"A.{Q}": torch.ones(2, 16)}),
    "a vector": lambda tensors, said: tensors.update({f"A.{Q}": torch.ones(3)}),
    "NaN": lambda tensors, said: tensors[f"A.{Q}"].fill_(math.nan),
    "whole numbers": lambda tensors, said: tensors.update({f"A.{Q}": torch.ones(3, 16, dtype=torch.int64)}),
    "transposed as a number": lambda tensors, said: said.update(transposed=1),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_was_tampered_with_is_refused_in_one_sentence(model, tmp_path, what: str) -> None:
    path = tmp_path / "one.safetensors"
    random_change(model).save(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors, said = load_file(path), json.loads(metadata["intervention"])
    HOSTILE[what](tensors, said)
    save_file(tensors, path, metadata | {"intervention": json.dumps(said.get("whole", said))})
    with pytest.raises(InputError, match="changed after it was saved"):
        load_intervention(path)


def test_a_description_that_is_no_json_is_refused_for_every_kind(model, tmp_path) -> None:
    for kind in (LowRankChange, NewWeights, Steering, Ablation):
        for metadata in ({}, {"intervention": "{"}, {"intervention": "[" * 100_000}, {"intervention": "1"}):
            save_file({"direction": torch.ones(2)}, tmp_path / "one.safetensors", {"format": kind.FORMAT, **metadata})
            with pytest.raises(InputError, match="changed after it was saved"):
                load_intervention(tmp_path / "one.safetensors")
