"""How large a step an edit is, and the weights that tell it before a model is loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from surgery import Edit, InputError, load_model, rank_rows
from surgery.files.gguf_file import GgufFile
from surgery.from_gguf.gguf_model import gguf_skeleton
from surgery.gguf.stored_weight import stored_weight
from surgery.model.model_files import skeleton


@pytest.mark.parametrize("component", ["gate_proj", "down_proj"])
@pytest.mark.parametrize(("unit", "alpha"), [("raw", 1.5), ("unit", -0.4)])
def test_the_step_is_what_is_added_over_the_median_norm_of_the_edited_rows(
    model: Any, direction: torch.Tensor, component: str, unit: str, alpha: float
) -> None:
    region = rank_rows(model, direction, component).lowest(12)
    norms = []
    for layer, rows in region.rows.items():
        weight = getattr(model.model.layers[layer - 1].mlp, component).weight.numpy()
        vectors = weight if component == "gate_proj" else weight.T
        norms += [float(np.sqrt((vectors[row] ** 2).sum())) for row in rows.tolist()]
    added = abs(alpha) * (1 if unit == "unit" else float(np.sqrt((direction.numpy() ** 2).sum())))
    edit = Edit(direction, alpha, region, unit)
    assert edit.relative_step(model) == pytest.approx(added / np.median(norms), rel=1e-5)
    with edit.applied_to(model):
        assert edit.relative_step(model) != pytest.approx(added / np.median(norms), rel=1e-3)


def test_a_weight_read_from_its_folder_is_the_loaded_models(folder: Path, model: Any) -> None:
    for name in ("model.layers.1.mlp.gate_proj.weight", "model.layers.3.self_attn.q_proj.weight"):
        assert torch.equal(stored_weight(folder, skeleton(folder, False), name), model.get_parameter(name))


@pytest.mark.parametrize("kind", ["F16", "Q4_0"])
def test_a_weight_read_from_a_gguf_file_is_the_loaded_models(make_gguf: Callable[..., Path], kind: str) -> None:
    file, name = GgufFile.read(make_gguf(kind)), "model.layers.2.mlp.gate_proj.weight"
    model, _ = load_model(str(file.path), dtype="float32")
    assert torch.equal(stored_weight(file, gguf_skeleton(file, "it"), name), model.get_parameter(name))


def test_what_is_not_kept_by_its_name_is_refused(folder: Path, build: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    build(folder=tmp_path / "other")
    file = tmp_path / "other" / "model.safetensors"
    # As a checkpoint of an older kind has it, whose names are turned into the model's while it is loaded.
    save_file({name.replace("mlp.", "ffn."): values for name, values in load_file(file).items()}, file)
    with pytest.raises(InputError, match=r"does not hold model\.layers\.0\.mlp\.gate_proj\.weight by this name"):
        stored_weight(tmp_path / "other", skeleton(folder, False), "model.layers.0.mlp.gate_proj.weight")
