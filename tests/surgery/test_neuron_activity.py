"""Active neurons of a region, against a forward pass in matrix arithmetic."""

from typing import Any

import pytest
import torch

from surgery import InputError, Region, rank_rows
from surgery.activity.neuron_activity import active_neurons
from tools.tiny_models import tiny_model

# Of unlike lengths, so that most are padded in a batch.
TEXTS = [" ".join(f"w{(7 * i + 3 * j) % 60}" for j in range(1 + (5 * i) % 13)) for i in range(20)]


def counted(by_hand: Any, model: Any, tokenizer: Any, region: Region) -> list[list[int]]:
    """One text at a time; rows are numbered through the gate matrix."""
    found = []
    for text in TEXTS:
        layers = by_hand(model, tokenizer(text)["input_ids"])
        counts = sum((layers[layer - 1][0][:, rows.numpy()] > 0).sum(1) for layer, rows in region.rows.items())
        found.append(counts.tolist())
    return found


@pytest.fixture(params=["llama", "phi3"])
def either(request: pytest.FixtureRequest, model: Any) -> Any:
    return model if request.param == "llama" else request.getfixturevalue("phi3")


def test_the_arithmetic_is_the_models(either: Any, tokenizer: Any, by_hand: Any) -> None:
    """What the counts are held against: the forward pass by hand has the model's own gates in the last block."""
    ids = tokenizer(TEXTS[5])["input_ids"]
    inputs: list[torch.Tensor] = []
    handle = either.model.layers[3].mlp.register_forward_pre_hook(lambda module, args: inputs.append(args[0][0]))
    either(input_ids=torch.tensor([ids]))
    handle.remove()
    weight = next(value for name, value in either.state_dict().items() if name.startswith("model.layers.3.mlp.gate"))
    expected = torch.tensor(by_hand(either, ids)[3][0]).float()
    torch.testing.assert_close(inputs[0] @ weight[:24].T, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("budget", [None, 30])
def test_counts_are_of_gates_above_zero_at_every_token(
    either: Any, tokenizer: Any, by_hand: Any, make_edit: Any, budget: int | None
) -> None:
    region = make_edit(either, top_k=30).region
    assert len(region.layers) > 1
    found = active_neurons(either, tokenizer, TEXTS, region, tokens_per_batch=budget)
    expected = counted(by_hand, either, tokenizer, region)
    assert [one.tolist() for one in found] == expected
    assert all(one.dtype == torch.int64 for one in found)
    assert 0 < sum(map(sum, expected)) < 30 * sum(map(len, expected))


def test_inside_an_edit_the_counts_are_the_edited_models(
    either: Any, tokenizer: Any, by_hand: Any, make_edit: Any, bits: Any
) -> None:
    edit = make_edit(either, alpha=1.5, top_k=30)
    before, unedited = active_neurons(either, tokenizer, TEXTS, edit.region), bits(either)
    with edit.applied_to(either):
        edited = active_neurons(either, tokenizer, TEXTS, edit.region)
        assert [one.tolist() for one in edited] == counted(by_hand, either, tokenizer, edit.region)
    assert [one.tolist() for one in edited] != [one.tolist() for one in before]
    assert bits(either) == unedited
    again = active_neurons(either, tokenizer, TEXTS, edit.region)
    assert all(torch.equal(*pair) for pair in zip(again, before, strict=True))


def test_what_is_too_long_is_cut_and_no_hooks_stay(model: Any, tokenizer: Any, make_edit: Any) -> None:
    region = make_edit(model).region
    found = active_neurons(model, tokenizer, [*TEXTS, "w1 " * 100], region, max_length=5)
    assert [len(one) for one in found[:-1]] == [min(5, len(text.split())) for text in TEXTS]
    assert len(found[-1]) == 5
    # The model takes 64 tokens.
    assert len(active_neurons(model, tokenizer, ["w1 " * 100], region)[0]) == 64
    model.model.layers[2].mlp.down_proj.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        active_neurons(model, tokenizer, TEXTS, region)
    assert not any(block.mlp.gate_proj._forward_hooks for block in model.model.layers)


@pytest.mark.parametrize("family", ["gemma3_text", "bitnet", "granite", "modernbert-decoder", "glm4", "got_ocr2"])
def test_other_families_have_gates_that_can_be_read(family: str, tokenizer: Any) -> None:
    model = tiny_model(family)
    direction = torch.randn(32, generator=torch.Generator().manual_seed(0))
    region = rank_rows(model, direction).lowest(12)
    weights = dict(model.named_parameters())
    inputs: dict[int, torch.Tensor] = {}
    handles = [
        model.get_submodule(home.parameter.removesuffix(".weight")).register_forward_pre_hook(
            lambda module, args, layer=home.layer: inputs.__setitem__(layer, args[0][0])
        )
        for home, _ in region.parts()
    ]
    text = TEXTS[7]
    [found] = active_neurons(model, tokenizer, [text], region)
    for handle in handles:
        handle.remove()
    expected = sum((inputs[home.layer] @ weights[home.parameter][rows].T > 0).sum(1) for home, rows in region.parts())
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("family", ["mixtral", "gpt_oss", "qwen3_moe"])
def test_experts_in_one_tensor_are_refused(family: str, tokenizer: Any) -> None:
    model = tiny_model(family)
    region = rank_rows(model, torch.ones(32)).lowest(12)
    with pytest.raises(InputError, match="holds 4 experts in one tensor"):
        active_neurons(model, tokenizer, TEXTS, region)


def test_a_layer_that_does_not_see_every_token_is_refused(model: Any, tokenizer: Any, make_edit: Any) -> None:
    region = make_edit(model).region
    mlp = model.model.layers[region.layers[0] - 1].mlp
    forward = mlp.forward
    mlp.forward = lambda x: forward(x[:, :1])
    with pytest.raises(InputError, match="not applied once to every token"):
        active_neurons(model, tokenizer, TEXTS, region)
    mlp.forward = lambda x: x
    with pytest.raises(InputError, match="not applied once to every token"):
        active_neurons(model, tokenizer, TEXTS, region)


def test_what_can_not_be_counted_is_said(model: Any, tokenizer: Any, make_edit: Any, phi3: Any) -> None:
    region = make_edit(model).region
    with pytest.raises(InputError, match="no texts"):
        active_neurons(model, tokenizer, [], region)
    with pytest.raises(InputError, match="text 2 of 2 has no tokens"):
        active_neurons(model, tokenizer, ["w1", ""], region)
    with pytest.raises(InputError, match="rows of up_proj, but a neuron is active when its gate is"):
        active_neurons(model, tokenizer, TEXTS, make_edit(model, component="up_proj").region)
    with pytest.raises(InputError, match="the region is another's"):
        active_neurons(phi3, tokenizer, TEXTS, region)
