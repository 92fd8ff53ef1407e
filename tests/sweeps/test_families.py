"""Whole experiments on models of other kinds than one dense matrix a layer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer


def saved(world: Any, folder: Path, family: str, **options: Any) -> Path:
    """A model of a family with the tiny world's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(world.model)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {
        "vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0,
        "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **sizes, **options)).save_pretrained(folder)
    return folder


def the_record(surgery: Callable[..., Any], *arguments: str) -> dict[str, Any]:
    ran = surgery(*arguments)
    assert ran.code == 0, ran.err
    (record,) = Path().glob("outputs/runs/*/*/result.json")
    return json.loads(record.read_text())


def test_the_default_region_is_a_share_of_all_experts(
    world: Any, arguments: list[str], surgery: Any, tmp_path: Path
) -> None:
    model = saved(world, tmp_path / "moe", "mixtral", num_local_experts=4, num_experts_per_tok=2)
    record = the_record(surgery, *arguments, f"model.path={model}", "alpha=2")
    # 2 layers of 4 experts of 12 rows; 16,384 of 352,256 in the paper.
    assert record["keys"]["top_k"] == round(2 * 4 * 12 * 16_384 / 352_256)
    assert sum(record["edit"]["rows_per_layer"].values()) == record["keys"]["top_k"]


def test_an_offloaded_model_is_measured_like_one_in_memory(
    world: Any, arguments: list[str], surgery: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name, device in (("memory", "cpu"), ("disk", "{model: disk, lm_head: disk}")):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        found.append(the_record(surgery, *arguments, f"model.device={device}", "alpha=2", "top_k=9"))
    memory, disk = found
    assert memory["cell"] == disk["cell"]
    for name, metric in memory["metrics"].items():
        assert metric["edited"] == pytest.approx(disk["metrics"][name]["edited"]), name


def test_a_quantised_model_is_refused_before_it_is_loaded(
    world: Any, arguments: list[str], surgery: Any, tmp_path: Path
) -> None:
    model = saved(world, tmp_path / "packed", "llama")
    config = json.loads((model / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    (model / "config.json").write_text(json.dumps(config))
    (model / "model.safetensors").write_bytes(b"")
    ran = surgery(*arguments, f"model.path={model}", "alpha=2")
    assert ran.code == 1
    assert "is quantised (gptq), so its rows can't be edited in place" in ran.err
    assert not list(Path().glob("outputs/runs/*/*/result.json"))
