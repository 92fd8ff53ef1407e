import copy
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from peft import PeftModel
from safetensors import safe_open
from transformers import PreTrainedModel

from surgery import Edit, InputError, Region, load_model, rank_rows
from surgery.export.adapter import CONFIG_FILE, save_adapter
from surgery.files.whole_folders import folder_written_whole
from surgery.rows.locator import COMPONENTS
from surgery.rows.rows import Rows

# float32, logits up to 6; measured 5e-6 at most: the adapter adds x·v after the base's product, the edit before it.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Mistral": {"head_dim": 4},
    "Qwen2": {},
    "Qwen3": {"head_dim": 4},
    "Gemma": {"head_dim": 8},
    "Gemma2": {"head_dim": 8},
    "Gemma3Text": {"head_dim": 8},
    "Olmo2": {},
    "SmolLM3": {},
    "Granite": {},
    "Cohere": {},
}
TOKENS = torch.arange(2, 22).reshape(2, 10)


def logits(model: Any, **options: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS, **options).logits


def with_adapter(model: PreTrainedModel, path: Path) -> PeftModel:
    """A copy of the model with the adapter; what PEFT warns about (keys it misses or does not know) is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return PeftModel.from_pretrained(copy.deepcopy(model), str(path)).eval()


def stored(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, Any]]:
    """Tensors, where they come from, and the config."""
    with safe_open(path / "adapter_model.safetensors", "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    assert metadata["format"] == "pt"
    return tensors, json.loads(metadata["surgery"]), json.loads((path / "adapter_config.json").read_text())


def by_hand(model: PreTrainedModel, edits: list[Edit]) -> dict[str, np.ndarray]:
    """Every weight after the edits, in float32, row by row."""
    weights = {name: parameter.float().numpy().copy() for name, parameter in model.named_parameters()}
    for edit in edits:
        for layer, rows in edit.region.rows.items():
            weight = weights[edit.region.homes[layer][0].parameter]
            for row in rows.tolist():
                vector = weight[:, row] if edit.region.component in ("down_proj", "o_proj") else weight[row]
                vector += np.float32(edit.alpha) * edit.direction.numpy()
    return weights


@pytest.mark.parametrize("family", FAMILIES)
def test_the_adapter_is_the_edit_for_every_component_of_many_families(
    build: Callable[..., PreTrainedModel],
    sizes: dict[str, Any],
    direction: torch.Tensor,
    tmp_path: Path,
    family: str,
) -> None:
    model = build(getattr(transformers, f"{family}Config")(**sizes, **FAMILIES[family]))
    base = logits(model)
    for component in COMPONENTS:
        edit = Edit(direction, 1.08, rank_rows(model, direction, component).lowest(11))
        with edit.applied_to(model):
            want = logits(model)
        edit.save_adapter(tmp_path / component)
        torch.testing.assert_close(logits(with_adapter(model, tmp_path / component)), want, **TOLERANCE)
        assert (want - base).abs().max() > 5e-3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("component", ["gate_proj", "down_proj"])
def test_merging_gives_the_very_weights_of_the_edit(
    folder: Path, direction: torch.Tensor, tmp_path: Path, dtype: str, component: str
) -> None:
    model = load_model(str(folder), dtype=dtype, device="cpu")[0]
    edit = Edit(direction, -2.5, rank_rows(model, direction, component).lowest(30))
    edit.save_adapter(tmp_path / "adapter")
    merged = dict(with_adapter(model, tmp_path / "adapter").merge_and_unload().named_parameters())
    rounding = {"float32": 1e-6, "bfloat16": 2**-8, "float16": 2**-11}[dtype]
    for name, want in by_hand(model, [edit]).items():
        np.testing.assert_allclose(merged[name].float().numpy(), want, rtol=rounding, atol=1e-6)
    with edit.applied_to(model):
        for name, parameter in model.named_parameters():
            assert torch.equal(merged[name], parameter)


def test_unit_alpha_is_carried_too(model, direction, make_edit, tmp_path: Path) -> None:
    edit = make_edit(model, -3.0, alpha_unit="unit", direction=7 * direction)
    edit.save_adapter(tmp_path / "adapter")
    with edit.applied_to(model):
        want = logits(model)
    torch.testing.assert_close(logits(with_adapter(model, tmp_path / "adapter")), want, **TOLERANCE)


def test_tensors_are_a_vector_and_a_mask_and_only_edited_layers_have_them(
    model: PreTrainedModel, direction: torch.Tensor, tmp_path: Path
) -> None:
    ranking = rank_rows(model, direction, "gate_proj", layers=[2, 4])
    edit = Edit(direction, 1.5, ranking.lowest(20))
    edit.save_adapter(tmp_path / "adapter", base="owner/model")
    tensors, origin, config = stored(tmp_path / "adapter")
    modules = [f"model.layers.{index}.mlp.gate_proj" for index in (1, 3)]
    assert set(tensors) == {f"base_model.model.{module}.lora_{x}.weight" for module in modules for x in "AB"}
    for layer, module in zip((2, 4), modules, strict=True):
        mask = np.zeros((24, 1), np.float32)
        mask[edit.region.rows[layer].numpy()] = 1
        np.testing.assert_array_equal(tensors[f"base_model.model.{module}.lora_B.weight"], mask)
        vector = np.float32(1.5) * direction.numpy()[None]
        np.testing.assert_allclose(tensors[f"base_model.model.{module}.lora_A.weight"], vector, rtol=1e-6)
    assert origin["base_fingerprint"] == edit.base_fingerprint
    assert origin["edit_fingerprints"] == [edit.fingerprint]
    assert config["base_model_name_or_path"] == "owner/model"
    assert sorted(config["target_modules"]) == modules
    assert sorted(with_adapter(model, tmp_path / "adapter").targeted_module_names) == modules


def test_a_deep_model_keeps_its_unedited_layer_out(build, sizes, direction, tmp_path: Path) -> None:
    """PEFT condenses long lists of targets; the condensed list must not catch more."""
    model = build(transformers.LlamaConfig(**sizes | {"num_hidden_layers": 26}))
    layers = [layer for layer in range(1, 27) if layer != 12]
    edit = Edit(direction, 0.1, rank_rows(model, direction, layers=layers).lowest(25 * 24))
    edit.save_adapter(tmp_path / "adapter")
    adapted = with_adapter(model, tmp_path / "adapter")
    assert set(adapted.targeted_module_names) == {f"model.layers.{layer - 1}.mlp.gate_proj" for layer in layers}
    with edit.applied_to(model):
        torch.testing.assert_close(logits(adapted), logits(model), **TOLERANCE)


def test_it_is_small(model, make_edit, direction, tmp_path: Path) -> None:
    make_edit(model).save_adapter(tmp_path / "tiny")
    assert sum(file.stat().st_size for file in (tmp_path / "tiny").iterdir()) < 5_000
    # The matrices of a model of 7 billion parameters.
    homes = {
        layer: (Rows(layer, f"model.layers.{layer - 1}.mlp.gate_proj.weight", (11008, 4096), 0, 0, 11008),)
        for layer in range(1, 33)
    }
    region = Region({layer: torch.arange(512) for layer in homes}, homes, "gate_proj", "by hand", "0" * 16)
    Edit(torch.randn(4096), 1.0, region).save_adapter(tmp_path / "large")
    assert sum(file.stat().st_size for file in (tmp_path / "large").iterdir()) < 32 * (11008 + 4096) * 4 + 20_000


def test_stacked_edits_are_one_adapter_of_their_number_as_rank(model, direction, make_edit, tmp_path: Path) -> None:
    other = torch.randn(16, generator=torch.Generator().manual_seed(6))
    first = make_edit(model, 1.5, top_k=40)
    second = make_edit(model, -0.7, top_k=30, direction=other)
    third = Edit(other, 2.0, rank_rows(model, direction, "down_proj", layers=[3]).lowest(9))
    save_adapter([first, second, third], tmp_path / "adapter")
    tensors, origin, config = stored(tmp_path / "adapter")
    assert config["r"] == config["lora_alpha"] == 3
    assert {tensor.shape["lora_B" in name] for name, tensor in tensors.items()} == {3}
    assert origin["edit_fingerprints"] == [edit.fingerprint for edit in (first, second, third)]
    down = tensors["base_model.model.model.layers.2.mlp.down_proj.lora_A.weight"]
    assert not down[:2].any() and down[2].sum() == 9
    adapted = with_adapter(model, tmp_path / "adapter")
    with first.applied_to(model), second.applied_to(model), third.applied_to(model):
        torch.testing.assert_close(logits(adapted), logits(model), **TOLERANCE)
    merged = dict(adapted.merge_and_unload().named_parameters())
    for name, want in by_hand(model, [first, second, third]).items():
        np.testing.assert_allclose(merged[name].numpy(), want, rtol=1e-6, atol=1e-6)


def test_an_edit_ranked_in_the_edited_model_stacks_on_the_edit_alone(model, make_edit, tmp_path: Path) -> None:
    first = make_edit(model, 1.5)
    with first.applied_to(model):
        second = make_edit(model, 2.0, component="up_proj")
        with second.applied_to(model):
            want = logits(model)
    save_adapter([first, second], tmp_path / "adapter")
    torch.testing.assert_close(logits(with_adapter(model, tmp_path / "adapter")), want, **TOLERANCE)
    with pytest.raises(InputError, match="oldest first"):
        save_adapter([second, first], tmp_path / "wrong")


def test_several_alphas_and_the_base_share_one_batch(model, make_edit, tmp_path: Path) -> None:
    edits = {f"alpha{index}": make_edit(model, alpha) for index, alpha in enumerate((0.5, -1.0, 2.0))}
    edits["other_rows"] = make_edit(model, 1.0, top_k=60, component="down_proj")
    for name, edit in edits.items():
        edit.save_adapter(tmp_path / name)
    adapted = PeftModel.from_pretrained(copy.deepcopy(model), str(tmp_path / "alpha0"), adapter_name="alpha0").eval()
    for name in list(edits)[1:]:
        adapted.load_adapter(str(tmp_path / name), adapter_name=name)
    names = ["alpha2", "__base__", "other_rows", "alpha0", "alpha1", "alpha2"]
    prompts = torch.arange(2, 62).reshape(6, 10)
    with torch.no_grad():
        got = adapted(prompts, adapter_names=names).logits
        for index, name in enumerate(names):
            prompt = prompts[index : index + 1]
            if name == "__base__":
                want = model(prompt).logits
            else:
                with edits[name].applied_to(model):
                    want = model(prompt).logits
            torch.testing.assert_close(got[index : index + 1], want, **TOLERANCE)


def test_the_config_stays_within_what_servers_read(model, make_edit, tmp_path: Path) -> None:
    """vLLM knows one r and lora_alpha, and refuses bias, modules_to_save and DoRA."""
    make_edit(model).save_adapter(tmp_path / "adapter")
    _, _, config = stored(tmp_path / "adapter")
    assert config["lora_alpha"] / config["r"] == 1
    assert config["r"] == 1
    assert config["bias"] == "none"
    assert not any(config.get(key) for key in ("modules_to_save", "use_dora", "use_rslora", "fan_in_fan_out"))
    assert not any(config.get(key) for key in ("rank_pattern", "alpha_pattern", "layers_to_transform"))


def test_loading_it_unpickles_and_imports_nothing_of_its_own(model, make_edit, tmp_path: Path) -> None:
    make_edit(model).save_adapter(tmp_path / "adapter")
    files = {file.name for file in (tmp_path / "adapter").iterdir()}
    assert files == {"adapter_config.json", "adapter_model.safetensors"}
    _, _, config = stored(tmp_path / "adapter")
    assert not [key for key in config if key.startswith("auto")]
    unpickled: list[Any] = []
    watching = True

    def watch(event: str, arguments: Any) -> None:
        if watching and event == "pickle.find_class":
            unpickled.append(arguments)

    sys.addaudithook(watch)
    with_adapter(model, tmp_path / "adapter")
    watching = False
    assert unpickled == []


def test_a_folder_that_is_there_is_replaced_only_by_force(model, make_edit, tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    make_edit(model, 1.0).save_adapter(target)
    (target / "README.md").write_text("a card")
    with pytest.raises(InputError, match="there already"):
        make_edit(model, 2.0).save_adapter(target)
    assert stored(target)[1]["edit_fingerprints"] == [make_edit(model, 1.0).fingerprint]
    make_edit(model, 2.0).save_adapter(target, force=True)
    assert stored(target)[1]["edit_fingerprints"] == [make_edit(model, 2.0).fingerprint]
    assert not (target / "README.md").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_force_does_not_remove_what_is_no_adapter(model, make_edit, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    (tmp_path / "file").write_text("text")
    for name in ("thesis", "file"):
        with pytest.raises(InputError, match="no adapter"):
            make_edit(model).save_adapter(tmp_path / name, force=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    with pytest.raises(InputError, match="can't be made"):
        make_edit(model).save_adapter(tmp_path / "file" / "adapter")


@pytest.mark.parametrize("there", [False, True])
def test_a_write_that_fails_half_way_leaves_what_was_there(model, make_edit, tmp_path: Path, there: bool) -> None:
    target = tmp_path / "adapter"
    if there:
        make_edit(model, 1.0).save_adapter(target)
    with pytest.raises(TypeError):  # The weights are written by then; bytes have no JSON.
        make_edit(model, 2.0).save_adapter(target, base=b"bytes", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"] * there
    if there:
        assert stored(target)[1]["edit_fingerprints"] == [make_edit(model, 1.0).fingerprint]


def test_an_adapter_that_can_not_be_replaced_is_put_back(model, make_edit, tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    make_edit(model, 1.0).save_adapter(target)
    with pytest.raises(FileNotFoundError), folder_written_whole(target, CONFIG_FILE, "adapter", force=True) as new:
        new.rmdir()  # So that the old one is moved away, and nothing can take its name.
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
    assert stored(target)[1]["edit_fingerprints"] == [make_edit(model, 1.0).fingerprint]


@pytest.mark.parametrize(
    ("parameter", "shape", "start", "count"),
    [
        ("model.layers.0.mlp.experts.gate_up_proj", (48, 16), 0, 48),
        ("model.layers.0.mlp.experts.gate_up_proj", (4, 48, 16), 0, 24),
    ],
)
def test_experts_are_refused_with_a_way_out(
    direction: torch.Tensor, tmp_path: Path, parameter: str, shape: Any, start: int, count: int
) -> None:
    region = Region(
        {1: torch.tensor([0, 3])},
        {1: (Rows(1, parameter, shape, len(shape) - 2, start, count),)},
        "gate_proj",
        "by hand",
        "0" * 16,
    )
    with pytest.raises(InputError, match=r"layer 1 .* can't carry them; export a checkpoint"):
        Edit(direction, 1.0, region).save_adapter(tmp_path / "adapter")
    assert not list(tmp_path.iterdir())


def test_what_can_not_be_one_adapter_is_refused(model, other_model, direction, make_edit, tmp_path: Path) -> None:
    edit = make_edit(model)
    with pytest.raises(InputError, match="at least one edit"):
        save_adapter([], tmp_path / "adapter")
    with pytest.raises(InputError, match=f"edit 2 .* {edit.base_fingerprint}"):
        save_adapter([edit, make_edit(other_model)], tmp_path / "adapter")
    with pytest.raises(InputError, match="infinite"):
        replace(edit, alpha=1e39).save_adapter(tmp_path / "adapter")
    with pytest.raises(InputError, match="17 entries"):
        replace(edit, direction=torch.ones(17)).save_adapter(tmp_path / "adapter")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("component", ["gate_proj", "up_proj"])
def test_a_part_of_a_fused_matrix_is_carried(
    build: Callable[..., PreTrainedModel],
    sizes: dict[str, Any],
    direction: torch.Tensor,
    tmp_path: Path,
    component: str,
) -> None:
    model = build(transformers.Phi3Config(**sizes))
    edit = Edit(direction, 1.08, rank_rows(model, direction, component).lowest(11))
    with edit.applied_to(model):
        edited = {name: parameter.clone() for name, parameter in model.named_parameters()}
    edit.save_adapter(tmp_path / "adapter")
    merged = with_adapter(model, tmp_path / "adapter").merge_and_unload()
    for name, parameter in merged.named_parameters():
        assert torch.equal(parameter, edited[name])
