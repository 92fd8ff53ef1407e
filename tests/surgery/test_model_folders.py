"""A model's folder that is damaged, or no model's, is told in one line before anything is loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from surgery import InputError
from surgery.files.safetensors_file import INDEX, SINGLE, read_header
from surgery.model.model_files import model_folder, require_fit, skeleton, sound_weights

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1044992\n"


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A sound model's folder that a test may damage."""
    return Path(shutil.copytree(folder, tmp_path / "model"))


def planned(folder: Path) -> None:
    """What is done with a folder before a cell runs."""
    place = model_folder(str(folder))
    require_fit(skeleton(place), sound_weights(place, f"model.path '{folder}'"), f"model.path '{folder}'")


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        planned(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_sound_folder_is_taken(copy: Path) -> None:
    planned(copy)


def rewritten(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    state = change(load_file(folder / SINGLE))
    save_file({name: tensor.clone() for name, tensor in state.items()}, folder / SINGLE, metadata={"format": "pt"})


def reconfigured(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def sharded(folder: Path, drop: str | None = None, claim: str | None = None) -> None:
    """Two files and their index in place of one; `drop` is left out, `claim` is a tensor that the index makes up."""
    state = load_file(folder / SINGLE)
    names = sorted(state)
    homes = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(names)}
    for file in sorted(set(homes.values())):
        if file != drop:
            save_file({name: state[name] for name in names if homes[name] == file}, folder / file)
    homes |= {claim: "model-00001-of-00002.safetensors"} if claim else {}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": homes}))
    (folder / SINGLE).unlink()


def prefixed(prefix: str) -> Callable[[Path], None]:
    return lambda folder: rewritten(folder, lambda state: {f"{prefix}{name}": one for name, one in state.items()})


def adapter_beside(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "elsewhere"}')
    save_file({"a": torch.zeros(1)}, folder / "adapter_model.safetensors")


def adapter_alone(folder: Path) -> None:
    adapter_beside(folder)
    for name in ("config.json", SINGLE):
        (folder / name).unlink()


def pickles_alone(folder: Path) -> None:
    torch.save(load_file(folder / SINGLE), folder / "pytorch_model.bin")
    (folder / SINGLE).unlink()


def other_vocabulary(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: one[:-1] if "embed" in name or "lm_head" in name else one for name, one in state.items()}


def narrower(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: one[:-1] if name.endswith("1.mlp.gate_proj.weight") else one for name, one in state.items()}


def cut(name: str) -> Callable[[Path], None]:
    def half(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return half


def written(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content) and None


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (written(SINGLE, POINTER), "'model.safetensors' is a Git LFS pointer, not the file itself; run 'git lfs pull'"),
        (written("config.json", POINTER), "'config.json' is a Git LFS pointer"),
        (written("tokenizer.json", POINTER), "'tokenizer.json' is a Git LFS pointer"),
        (cut(SINGLE), "its data is cut off"),
        (cut("config.json"), "'config.json' is no JSON"),
        (cut("tokenizer.json"), "'tokenizer.json' is no JSON"),
        (written(SINGLE, ""), "'model.safetensors' is empty"),
        (written("config.json", ""), "'config.json' is empty"),
        (written("config.json", "[1]"), "'config.json' holds no {...} of settings"),
        (written("config.json", "{}"), "can't be read as a causal language model"),
        (lambda folder: reconfigured(folder, num_attention_heads=0), "can't be read as a causal language model"),
        (lambda folder: reconfigured(folder, hidden_size="wide"), "can't be read as a causal language model"),
        (lambda folder: reconfigured(folder, hidden_size=-4), "can't be read as a causal language model"),
        (lambda folder: reconfigured(folder, model_type="nothing"), "can't be read as a causal language model"),
        (lambda folder: reconfigured(folder, vocab_size=7), "but config.json makes it [7, "),
        (lambda folder: reconfigured(folder, num_hidden_layers=1), "but config.json counts fewer layers"),
        (lambda folder: rewritten(folder, other_vocabulary), "(its vocabulary); use the config.json"),
        (lambda folder: rewritten(folder, narrower), "1.mlp.gate_proj.weight is ["),
        (prefixed("_orig_mod."), "saved inside a wrapper of torch.compile"),
        (prefixed("module."), "saved inside a wrapper of DistributedDataParallel"),
        (prefixed("base_model.model."), "saved inside a wrapper of PEFT"),
        (adapter_beside, "holds an adapter (adapter_config.json) beside a model"),
        (adapter_alone, "is an adapter for 'elsewhere', not a model"),
        (pickles_alone, "only pickles (pytorch_model.bin)"),
        (lambda folder: (folder / SINGLE).unlink(), "so it holds no weights"),
        (lambda folder: (folder / SINGLE).rename(folder / "other.safetensors"), "only other.safetensors"),
        (lambda folder: (folder / "config.json").unlink(), "holds no config.json, only a tokenizer"),
        (lambda folder: sharded(folder, drop="model-00002-of-00002.safetensors"), "lacks 1 of the 2 files"),
        (lambda folder: sharded(folder, claim="model.nothing"), "which does not hold it; the files are of two models"),
    ],
)
def test_a_damaged_folder_is_told_in_one_line(copy: Path, damage: Callable[[Path], None], told: str) -> None:
    damage(copy)
    assert told in refusal(copy)


def test_a_file_that_may_not_be_read_is_named(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: object, *arguments: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    # The user of a test may be one who reads everything.
    monkeypatch.setattr("surgery.files.saved_files.open", refused, raising=False)
    assert "'config.json' can't be read (Permission denied); let this user read it" in refusal(copy)


def test_a_file_in_place_of_a_folder_is_told(copy: Path) -> None:
    assert "is a file; give the folder it lies in" in refusal(copy / SINGLE)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True))
def test_weights_cut_anywhere_are_noticed(folder: Path, tmp_path: Path, where: float) -> None:
    content = (folder / SINGLE).read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: int(where * len(content))])
    with pytest.raises(InputError, match=r"is empty|cut off"):
        read_header(tmp_path / "cut.safetensors")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_header_with_any_byte_changed_is_read_or_refused(folder: Path, tmp_path: Path, place: int, byte: int) -> None:
    content = bytearray((folder / SINGLE).read_bytes())
    content[place] = byte
    (tmp_path / "changed.safetensors").write_bytes(content)
    try:
        tensors = read_header(tmp_path / "changed.safetensors")
    except InputError as error:
        assert "changed.safetensors" in str(error)
    else:
        assert all(tensor.start + tensor.size <= len(content) for tensor in tensors)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), name=st.sampled_from(["config.json", "tokenizer_config.json"]))
def test_settings_cut_anywhere_are_noticed(copy: Path, where: float, name: str) -> None:
    content = (copy / name).read_text().rstrip()
    (copy / name).write_text(content[: int(where * len(content))])
    with pytest.raises(InputError, match=rf"'{name}' is (empty|no JSON)"):
        model_folder(str(copy))
    (copy / name).write_text(content)
