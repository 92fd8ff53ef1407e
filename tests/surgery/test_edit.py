import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from surgery import Edit, InputError, Region, fingerprint, load_model, rank_rows
from surgery.rows.locator import locate

DTYPES = ["float32", "bfloat16", "float16"]


@functools.cache
def loaded(folder: Path, dtype: str) -> Any:
    return load_model(str(folder), dtype=dtype, device="cpu")[0]


def whole_region(model: Any, rows: dict[int, list[int]], component: str = "gate_proj") -> Region:
    homes = {home.layer: (home,) for home in locate(model, component) if home.layer in rows}
    chosen = {layer: torch.tensor(indices) for layer, indices in rows.items()}
    return Region(chosen, homes, component, "by hand", fingerprint(model))


@pytest.mark.parametrize("component", ["gate_proj", "up_proj", "q_proj", "k_proj", "v_proj", "down_proj", "o_proj"])
@pytest.mark.parametrize("alpha", [1.08, -2.5])
def test_alpha_times_the_direction_is_added_to_the_chosen_rows_and_nothing_else(
    model: Any, direction: torch.Tensor, component: str, alpha: float
) -> None:
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    region = rank_rows(model, direction, component).lowest(11)
    with Edit(direction, alpha, region).applied_to(model):
        after = {name: parameter.clone() for name, parameter in model.named_parameters()}
    for name, weight in before.items():
        want = weight.numpy().copy()
        for layer, rows in region.rows.items():
            if region.homes[layer][0].parameter == name:
                for row in rows.tolist():
                    vector = want[:, row] if component in ("down_proj", "o_proj") else want[row]
                    vector += np.float32(alpha) * direction.numpy()
        np.testing.assert_allclose(after[name].numpy(), want, rtol=1e-6, atol=1e-6)
        untouched = all(home.parameter != name for home, _ in region.parts())
        assert torch.equal(after[name], weight) == untouched


def test_unit_alpha_adds_a_vector_of_that_length(model, direction, make_edit) -> None:
    edit = make_edit(model, -3.0, alpha_unit="unit", direction=7 * direction)
    np.testing.assert_allclose(edit.vector.norm(), 3.0, rtol=1e-6)
    raw = make_edit(model, -3.0, direction=7 * direction)
    torch.testing.assert_close(raw.vector, -21 * direction)
    assert raw.fingerprint != edit.fingerprint


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_very_bits_come_back(folder: Path, make_edit: Any, bits: Any, dtype: str) -> None:
    model = load_model(str(folder), dtype=dtype, device="cpu")[0]
    before = bits(model)
    with make_edit(model, 1.08).applied_to(model):
        assert bits(model) != before
    assert bits(model) == before
    with pytest.raises(KeyError), make_edit(model, 1.08).applied_to(model):
        raise KeyError("in the body")
    assert bits(model) == before


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_alpha_and_any_rows_restore_exactly(folder: Path, bits: Any, direction: torch.Tensor, data: Any) -> None:
    model = loaded(folder, data.draw(st.sampled_from(DTYPES)))
    alpha = data.draw(st.floats(-1e4, 1e4).filter(lambda value: value != 0))
    rows = data.draw(
        st.dictionaries(st.integers(1, 4), st.lists(st.integers(0, 15), min_size=1, unique=True), min_size=1)
    )
    component = data.draw(st.sampled_from(["gate_proj", "down_proj", "q_proj", "o_proj"]))
    before, name = bits(model), fingerprint(model)
    edit = Edit(direction, alpha, whole_region(model, {k: sorted(v) for k, v in rows.items()}, component))
    try:
        with edit.applied_to(model) as receipt:
            assert receipt.rows == sum(map(len, rows.values()))
    except InputError as error:  # too small to change a row
        assert "unchanged" in str(error)
    assert bits(model) == before
    assert fingerprint(model) == name


@pytest.mark.parametrize("dtype", DTYPES)
def test_edits_stack(folder: Path, direction: torch.Tensor, make_edit: Any, bits: Any, dtype: str) -> None:
    model = load_model(str(folder), dtype=dtype, device="cpu")[0]
    first, second = make_edit(model, 1.0, top_k=96), make_edit(model, -0.3, direction=direction.flip(0))
    base = bits(model)
    with first.applied_to(model):
        once = bits(model)
        with second.applied_to(model):
            assert bits(model) not in (base, once)
        assert bits(model) == once
    assert bits(model) == base


def test_edits_are_taken_back_in_reverse_order_only(model, direction, make_edit) -> None:
    first = make_edit(model).applied_to(model)
    second = make_edit(model, -2.0).applied_to(model)
    first.__enter__()
    second.__enter__()
    with pytest.raises(RuntimeError, match="reverse"):
        first.__exit__(None, None, None)
    second.__exit__(None, None, None)


def test_the_receipt_tells_what_changed(model, make_edit) -> None:
    edit = make_edit(model, 1.5)
    before = {name: p.numpy().copy() for name, p in model.named_parameters()}
    with edit.applied_to(model) as receipt:
        change = np.concatenate([(p.numpy() - before[name]).ravel() for name, p in model.named_parameters()])
    assert receipt.rows_per_layer == {layer: len(rows) for layer, rows in edit.region.rows.items()}
    assert receipt.rows == 20 == len(edit.region)
    np.testing.assert_allclose(receipt.max_abs_change, np.abs(change).max())
    np.testing.assert_allclose(receipt.frobenius_norm, np.linalg.norm(change.astype(np.float64)), rtol=1e-6)


@pytest.mark.parametrize(
    ("alpha", "says"), [(0.0, "any finite number but 0"), (math.nan, "finite"), (math.inf, "finite")]
)
def test_alphas_that_are_refused(model, make_edit, alpha: float, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make_edit(model, alpha)


@pytest.mark.parametrize("bad", [torch.zeros(16), torch.full((16,), math.nan), torch.ones(2, 16)])
def test_directions_that_are_refused(model, make_edit, bad: torch.Tensor) -> None:
    with pytest.raises(InputError, match="direction must be a vector"):
        Edit(bad, 1.0, make_edit(model).region)
    with pytest.raises(InputError, match="raw, unit"):
        make_edit(model, alpha_unit="metres")


@pytest.mark.parametrize(
    ("dtype", "alpha", "says"), [("float16", 1e6, "NaN or infinite"), ("bfloat16", 1e-7, "unchanged in torch.bfloat16")]
)
def test_an_edit_the_dtype_cannot_hold_is_refused_and_leaves_the_model_alone(
    folder: Path, make_edit: Any, bits: Any, dtype: str, alpha: float, says: str
) -> None:
    model = load_model(str(folder), dtype=dtype, device="cpu")[0]
    before, name = bits(model), fingerprint(model)
    with pytest.raises(InputError, match=says) as error, make_edit(model, alpha).applied_to(model):
        pytest.fail("the body ran")
    assert "\n" not in str(error.value)
    assert bits(model) == before
    assert fingerprint(model) == name


def test_an_edit_refused_in_a_later_layer_leaves_the_earlier_ones_alone(folder, direction, bits) -> None:
    model = load_model(str(folder), dtype="float16", device="cpu")[0]
    model.model.layers[2].mlp.gate_proj.weight[3] = torch.finfo(torch.float16).max
    edit = Edit(direction.abs(), 100.0, whole_region(model, {1: [0], 3: [3]}))
    before = bits(model)
    with pytest.raises(InputError, match=r"layers\.2"), edit.applied_to(model):
        pytest.fail("the body ran")
    assert bits(model) == before


def test_another_model_is_refused_with_both_fingerprints(model, other_model, make_edit, bits) -> None:
    edit, before = make_edit(model), bits(other_model)
    with pytest.raises(InputError) as error, edit.applied_to(other_model):
        pytest.fail("the body ran")
    assert fingerprint(model) in str(error.value)
    assert fingerprint(other_model) in str(error.value)
    assert bits(other_model) == before


def test_an_edit_made_on_an_edited_model_needs_that_edit(model, direction, make_edit) -> None:
    first = make_edit(model)
    with first.applied_to(model):
        second = make_edit(model, -1.0)
        with second.applied_to(model):
            pass
    with pytest.raises(InputError, match=second.base_fingerprint), second.applied_to(model):
        pytest.fail("the body ran")


@pytest.mark.parametrize("component", ["gate_proj", "down_proj"])
def test_a_saved_edit_is_the_same_edit(model, make_edit, bits, tmp_path: Path, component: str) -> None:
    edit = make_edit(model, -0.7, component=component, alpha_unit="unit")
    edit.save(tmp_path / "new" / "edit.safetensors")
    read = Edit.load(tmp_path / "new" / "edit.safetensors")
    assert (read.fingerprint, read.base_fingerprint) == (edit.fingerprint, edit.base_fingerprint)
    assert (read.alpha, read.alpha_unit, read.region.how) == (-0.7, "unit", edit.region.how)
    with edit.applied_to(model):
        wanted = bits(model)
    with read.applied_to(model):
        assert bits(model) == wanted


def change_alpha(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    metadata["edit"] = json.dumps(json.loads(metadata["edit"]) | {"alpha": 9.0})


def change_direction(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    tensors["direction"][0] += 1


def change_row(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    rows = next(tensor for name, tensor in tensors.items() if name.startswith("rows."))
    rows[0] = (rows[0] + 1) % 24


def drop_rows(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    del tensors[next(name for name in tensors if name.startswith("rows."))]


def break_description(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    metadata["edit"] = "{"


@pytest.mark.parametrize("change", [change_alpha, change_direction, change_row, drop_rows, break_description])
def test_a_file_that_was_changed_after_saving_is_refused(model, make_edit, tmp_path: Path, change: Any) -> None:
    path = tmp_path / "edit.safetensors"
    make_edit(model).save(path)
    with safe_open(path, "pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors, metadata)
    save_file(tensors, path, metadata)
    with pytest.raises(InputError, match="changed after it was saved") as error:
        Edit.load(path)
    assert "\n" not in str(error.value)


def test_files_that_are_no_edit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        Edit.load(tmp_path / "missing.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors here")
    with pytest.raises(InputError, match="can't be read"):
        Edit.load(tmp_path / "text.safetensors")
    save_file({"something": torch.ones(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match="is no edit; it holds something"):
        Edit.load(tmp_path / "foreign.safetensors")


def test_an_edit_is_shown_on_one_line(model, make_edit) -> None:
    edit = make_edit(model)
    shown = repr(edit)
    assert "\n" not in shown and "tensor" not in shown
    assert all(told in shown for told in (edit.fingerprint, f"{edit.alpha:g} x direction", edit.region.how))
