"""alpha_unit=row_norm: each row is moved by a share of its own norm."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel

from surgery import Edit, InputError, load_model, rank_rows
from surgery.edits.intervention import load_intervention
from surgery.export.checkpoint import save_checkpoint
from surgery.region.row_norms import row_norms


def edit_of(model: Any, direction: torch.Tensor, component: str = "gate_proj", alpha: float = 0.4) -> Edit:
    region = rank_rows(model, direction, component).lowest(30)
    return Edit(7 * direction, alpha, region, "row_norm", row_norms(model, region))


def by_hand(model: Any, edit: Edit, direction: torch.Tensor) -> dict[str, np.ndarray]:
    """Every weight after it in float64, row by row: v + alpha·‖v‖·d/‖d‖."""
    weights = {name: parameter.double().numpy().copy() for name, parameter in model.named_parameters()}
    unit = direction.double().numpy() / np.linalg.norm(direction.double().numpy())
    for layer, rows in edit.region.rows.items():
        home = edit.region.homes[layer][0]
        matrix = weights[home.parameter] if home.axis == 0 else weights[home.parameter].T
        for row in rows.tolist():
            matrix[home.start + row] += edit.alpha * np.linalg.norm(matrix[home.start + row]) * unit
    return weights


@pytest.mark.parametrize("component", ["gate_proj", "down_proj"])
def test_each_row_moves_by_a_share_of_its_norm(model, direction, component, bits) -> None:
    before = bits(model)
    edit = edit_of(model, direction, component)
    want = by_hand(model, edit, direction)
    with edit.applied_to(model) as receipt:
        for name, parameter in model.named_parameters():
            np.testing.assert_allclose(parameter.double().numpy(), want[name], rtol=1e-5, atol=1e-6)
    assert receipt.rows == 30
    assert bits(model) == before


def test_rows_of_a_fused_matrix_have_their_own_norms(phi3, direction) -> None:
    edit = edit_of(phi3, direction)
    want = by_hand(phi3, edit, direction)
    with edit.applied_to(phi3):
        for name, parameter in phi3.named_parameters():
            np.testing.assert_allclose(parameter.double().numpy(), want[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("component", ["gate_proj", "down_proj"])
def test_file_adapter_of_rank_1_and_checkpoint_hold_the_very_weights(
    folder: Path, direction, component, dtype, tmp_path
) -> None:
    model = load_model(str(folder), dtype=dtype, device="cpu")[0]
    edit = edit_of(model, direction, component)
    edit.save(tmp_path / "edit.safetensors")
    read = load_intervention(tmp_path / "edit.safetensors")
    assert read.fingerprint == edit.fingerprint
    edit.save_adapter(tmp_path / "adapter")
    adapted = PeftModel.from_pretrained(copy.deepcopy(model), str(tmp_path / "adapter"))
    assert {config.r for config in adapted.peft_config.values()} == {1}
    made = [dict(adapted.merge_and_unload().named_parameters())]
    if dtype == "float32":
        save_checkpoint([edit], folder, tmp_path / "checkpoint")
        made.append(dict(load_model(str(tmp_path / "checkpoint"), device="cpu")[0].named_parameters()))
    with read.applied_to(model):
        for name, parameter in model.named_parameters():
            assert all(torch.equal(one[name], parameter) for one in made)


def test_norms_belong_to_the_unit_and_to_the_edit(model, direction) -> None:
    edit = edit_of(model, direction)
    assert edit.norms is not None
    longer = {layer: 2 * norms for layer, norms in edit.norms.items()}
    assert Edit(edit.direction, 0.4, edit.region, "row_norm", longer).fingerprint != edit.fingerprint
    with pytest.raises(InputError, match="norms of rows are what alpha_unit=row_norm needs"):
        Edit(direction, 1.0, edit.region, "row_norm")
    with pytest.raises(InputError, match="norms of rows are what alpha_unit=row_norm needs"):
        Edit(direction, 1.0, edit.region, "unit", edit.norms)
    with pytest.raises(InputError, match="rows, but 1 norms"):
        Edit(direction, 1.0, edit.region, "row_norm", dict.fromkeys(edit.region.layers, torch.ones(1)))
