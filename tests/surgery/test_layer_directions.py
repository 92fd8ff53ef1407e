"""A direction for each layer: its rows are ranked by it and moved along it."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel

from surgery import Edit, InputError, load_model, rank_rows
from surgery.export.checkpoint import save_checkpoint


@pytest.fixture
def directions() -> dict[int, torch.Tensor]:
    generator = torch.Generator().manual_seed(8)
    return {layer: layer * torch.randn(16, generator=generator) for layer in (1, 2, 4)}


def edit_of(model: Any, directions: dict[int, torch.Tensor], unit: str = "raw") -> Edit:
    region = rank_rows(model, directions).lowest(30)
    stacked = torch.stack([directions[layer] for layer in region.layers])
    return Edit(stacked, -0.7, region, unit)


def test_rows_are_in_one_order_of_the_cosine_with_their_own_direction(model, directions) -> None:
    ranked = rank_rows(model, directions)
    wanted = {}
    for layer, direction in directions.items():
        d = direction.double().numpy()
        for row, vector in enumerate(model.model.layers[layer - 1].mlp.gate_proj.weight.double().numpy()):
            wanted[layer, row] = vector @ d / np.linalg.norm(vector) / np.linalg.norm(d)
    places = list(zip(ranked.layer.tolist(), ranked.row.tolist(), strict=True))
    assert sorted(places) == sorted(wanted)
    np.testing.assert_allclose(ranked.cosine, [wanted[place] for place in places], atol=1e-6)
    assert (ranked.cosine.diff() >= 0).all()
    same = rank_rows(model, dict.fromkeys(range(1, 5), directions[2]))
    assert torch.equal(same.cosine, rank_rows(model, directions[2]).cosine)
    with pytest.raises(InputError, match="a direction for layer 9, which has no gate_proj"):
        rank_rows(model, {9: directions[1]})


@pytest.mark.parametrize("unit", ["raw", "unit"])
def test_rows_move_along_the_direction_of_their_layer(model, directions, bits, unit: str) -> None:
    edit = edit_of(model, directions, unit)
    assert len(edit.region.layers) == 3
    before, want = bits(model), {name: p.double().numpy().copy() for name, p in model.named_parameters()}
    for layer, rows in edit.region.rows.items():
        d = directions[layer].double().numpy()
        for row in rows.tolist():
            size = {"raw": 1, "unit": 1 / np.linalg.norm(d)}
            want[f"model.layers.{layer - 1}.mlp.gate_proj.weight"][row] += -0.7 * size[unit] * d
    with edit.applied_to(model):
        for name, parameter in model.named_parameters():
            np.testing.assert_allclose(parameter.double().numpy(), want[name], rtol=1e-5, atol=1e-6)
    assert bits(model) == before


def test_file_adapter_of_rank_1_and_checkpoint_hold_the_very_weights(folder: Path, directions, tmp_path: Path) -> None:
    model = load_model(str(folder), device="cpu")[0]
    edit = edit_of(model, directions)
    edit.save(tmp_path / "edit.safetensors")
    read = Edit.load(tmp_path / "edit.safetensors")
    assert read.fingerprint == edit.fingerprint
    edit.save_adapter(tmp_path / "adapter")
    adapted = PeftModel.from_pretrained(copy.deepcopy(model), str(tmp_path / "adapter"))
    assert {config.r for config in adapted.peft_config.values()} == {1}
    merged = dict(adapted.merge_and_unload().named_parameters())
    save_checkpoint([edit], folder, tmp_path / "checkpoint")
    exported = dict(load_model(str(tmp_path / "checkpoint"), device="cpu")[0].named_parameters())
    with read.applied_to(model):
        for name, parameter in model.named_parameters():
            assert torch.equal(merged[name], parameter) and torch.equal(exported[name], parameter)


def test_directions_are_as_many_as_layers(model, directions) -> None:
    edit = edit_of(model, directions)
    with pytest.raises(InputError, match="there are 2 directions for 3 layers"):
        Edit(edit.direction[:2], 1.0, edit.region)
    with pytest.raises(InputError, match="finite and not zero"):
        Edit(edit.direction * torch.tensor([[1.0], [0.0], [1.0]]), 1.0, edit.region)
