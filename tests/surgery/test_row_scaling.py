"""Neurons scaled by the cosines of what they write, against numpy's arithmetic."""

import numpy as np
import pytest
import torch

from surgery import InputError, load_model, rank_rows
from surgery.edits.changed_checkpoint import save_changed_checkpoint
from surgery.edits.intervention import load_intervention
from surgery.edits.row_scaling import RowScaling, value_cosines
from surgery.model.fingerprints import fingerprint
from tools.tiny_models import WIDTH, tiny_model


def cosines_by_hand(values: torch.Tensor, direction: torch.Tensor) -> np.ndarray:
    """Of columns [d, n]."""
    columns, towards = values.detach().double().numpy(), direction.double().numpy()
    return towards @ columns / np.linalg.norm(columns, axis=0) / np.linalg.norm(towards)


@pytest.mark.parametrize("component", ["down_proj", "gate_proj", "up_proj"])
def test_a_neurons_vector_is_scaled_by_the_cosine_of_what_it_writes(model, direction, bits, component: str) -> None:
    region = rank_rows(model, direction, component).highest(30)
    before, untouched = {name: weight.clone() for name, weight in model.named_parameters()}, bits(model)
    with RowScaling(region, value_cosines(model, direction, region), 1.5).applied_to(model) as receipt:
        for layer in range(1, 5):
            mlp = f"model.layers.{layer - 1}.mlp"
            factors = np.ones(24)
            chosen = region.rows.get(layer, torch.tensor([], dtype=torch.long)).numpy()
            factors[chosen] -= 1.5 * cosines_by_hand(before[f"{mlp}.down_proj.weight"], direction)[chosen]
            weight = before[f"{mlp}.{component}.weight"].double().numpy()
            expected = weight * (factors if component == "down_proj" else factors[:, None])
            found = model.get_submodule(f"{mlp}.{component}").weight.double().numpy()
            np.testing.assert_allclose(found, expected, atol=1e-6)
        changed = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == {home.parameter for home, _ in region.parts()}
    assert set(receipt.rows_per_layer) == set(region.rows)
    assert bits(model) == untouched


def test_of_the_columns_ranked_highest_the_cosines_are_the_rankings(model, direction) -> None:
    ranking = rank_rows(model, direction, "down_proj")
    cosines = value_cosines(model, direction, ranking.highest(10))
    found = torch.cat(list(cosines.values())).sort().values
    torch.testing.assert_close(found, ranking.cosine[-10:])


@pytest.mark.parametrize("family", ["phi3", "mixtral", "gpt_oss", "qwen2_moe"])
def test_fused_gates_and_experts_have_the_same_numbers_as_what_they_write(family: str) -> None:
    """A neuron of which everything but its value vector is known: scaled to 0, it is as if that were 0."""
    model = tiny_model(family)
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(3))
    ids = torch.arange(2, 22).reshape(2, 10)
    silenced = []
    for component in ("down_proj", "up_proj"):
        region = rank_rows(model, direction, "down_proj").highest(7)
        if component == "up_proj":
            homes = rank_rows(model, direction, component).homes
            region = type(region)(
                region.rows, {layer: homes[layer] for layer in region.rows}, component, "", region.model_fingerprint
            )
        ones = {layer: torch.ones(len(rows)) for layer, rows in region.rows.items()}
        with RowScaling(region, ones, 1.0).applied_to(model):
            silenced.append(model(ids).logits)
        assert value_cosines(model, direction, region).keys() == region.rows.keys()
    if family != "gpt_oss":  # whose up has a bias
        torch.testing.assert_close(*silenced)
    assert not torch.allclose(silenced[0], model(ids).logits)


def test_it_is_exported_as_the_checkpoint_that_was_measured_and_read_again(
    folder, model, direction, tmp_path, bits
) -> None:
    region = rank_rows(model, direction, "down_proj").highest(5)
    scaling = RowScaling(region, value_cosines(model, direction, region), 0.5)
    scaling.save(tmp_path / "one")
    again = load_intervention(tmp_path / "one")
    assert isinstance(again, RowScaling) and again.fingerprint == scaling.fingerprint
    assert again.fingerprint != RowScaling(region, scaling.cosines, 0.6).fingerprint
    assert str(again) == "5 of 96 rows by highest cosine, scaled"
    save_changed_checkpoint([again], folder, tmp_path / "out")
    with scaling.applied_to(model):
        assert bits(load_model(str(tmp_path / "out"), device="cpu")[0]) == bits(model)


def test_rows_of_attention_and_other_models_are_refused(model, other_model, direction) -> None:
    with pytest.raises(InputError, match="rows of q_proj are of no neuron"):
        value_cosines(model, direction, rank_rows(model, direction, "q_proj").lowest(3))
    region = rank_rows(model, direction, "down_proj").highest(5)
    scaling = RowScaling(region, value_cosines(model, direction, region), 0.5)
    assert scaling.base_fingerprint == fingerprint(model)
    with pytest.raises(InputError, match="made for model"), scaling.applied_to(other_model):
        pass
    with pytest.raises(InputError, match=r"has \d+ rows, but \d+ cosines"):
        RowScaling(region, {layer: one[:-1] for layer, one in scaling.cosines.items()}, 0.5)
