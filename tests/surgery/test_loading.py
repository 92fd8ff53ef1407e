import json
import os
import shutil
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from surgery import InputError, load_model
from sweeps.cell.settings import LOADING, TOLD_OF_BASE


def test_a_model_comes_ready_to_use(folder: Path) -> None:
    model, tokenizer = load_model(str(folder), dtype="bfloat16", device="cpu")
    assert model.dtype == torch.bfloat16
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert tokenizer.pad_token_id == 1


def test_the_keys_that_say_how_a_model_is_loaded_are_its_arguments() -> None:
    """All but where digests are kept, which is no key; and an adapter tells some of them of its base."""
    assert set(LOADING) == set(signature(load_model).parameters) - {"keep"}
    assert set(TOLD_OF_BASE) < set(LOADING)


def test_a_tokenizer_without_a_pad_token_gets_one(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert load_model(str(tmp_path), device="cpu")[1].pad_token_id is not None


def refusal(path: Any, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        load_model(str(path), **{"device": "cpu"} | options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_paths_that_hold_no_model(folder: Path, tmp_path: Path) -> None:
    assert "is not there" in refusal(tmp_path / "missing")
    assert "no config.json" in refusal(tmp_path)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    assert "its header is cut off" in refusal(tmp_path)
    assert "no folder here" in refusal("not a hub name!")


def test_dtypes_and_devices_that_are_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "auto, float32, bfloat16, float16" in refusal(folder, dtype="float8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA device" in refusal(folder, device="cuda:1")
    assert load_model(str(folder), device="auto")[0].device.type == "cpu"


def test_a_library_that_a_model_needs_and_that_is_not_there_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def needs_more(*arguments: Any, **options: Any) -> None:
        raise ImportError("\nThis model needs the library timm.\nInstall it.")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", needs_more)
    assert refusal(folder) == f"model.path '{folder}' can't be loaded: This model needs the library timm."


def test_python_that_comes_with_a_model_does_not_run(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["model_type"] = "foreign"
    config["auto_map"] = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    assert "trust_remote_code" in refusal(tmp_path) or "can't be loaded" in refusal(tmp_path)
    assert not (tmp_path / "ran").exists()


def python(code: str) -> str:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.slow
def test_a_hub_name_without_a_network_is_one_sentence(tmp_path: Path) -> None:
    said = python(
        "from surgery import load_model, InputError\n"
        "try: load_model('nobody/nothing-of-this-name', device='cpu')\n"
        "except InputError as error: print(error)"
    )
    assert "'nobody/nothing-of-this-name' is no folder here" in said
    assert said.count("\n") == 1


def test_the_package_loads_without_torch() -> None:
    assert python("import sys, surgery; dir(surgery); print('torch' in sys.modules)") == "False\n"


def test_a_folder_that_lacks_weights_is_refused_rather_than_filled_with_random_ones(folder: Any, tmp_path: Any) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights.pop("model.layers.1.mlp.gate_proj.weight")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"lacks 1 of its weights, model.layers.1.mlp.gate_proj.weight"):
        load_model(str(broken))
