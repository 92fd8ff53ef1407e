"""Quantised checkpoints: what can be unpacked is, by the definition of its format; the rest is refused at once."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig

from surgery import Edit, InputError, load_model, rank_rows
from tools.tiny_models import WIDTH, tiny_config

# The sixteen numbers of four bits with two of exponent and one of mantissa (OCP MX specification, E2M1).
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
TOKENS = torch.arange(2, 22).reshape(2, 10)


def quantised(folder: Path, said: dict[str, Any], tensors: dict[str, torch.Tensor] | None = None) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": said}))
    if tensors is not None:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def require_editable(model: Any, truth: dict[str, torch.Tensor]) -> None:
    parameters = dict(model.named_parameters())
    for name, values in truth.items():
        assert torch.equal(parameters[name].float(), values), name
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(3))
    plain = model(TOKENS).logits
    with Edit(direction, 0.5, rank_rows(model, direction).lowest(20)).applied_to(model):
        assert not torch.equal(model(TOKENS).logits, plain)
    assert torch.equal(model(TOKENS).logits, plain)


def test_experts_in_mxfp4_are_unpacked(tokenizer: Any, tmp_path: Path) -> None:
    config = tiny_config("gpt_oss")
    config.intermediate_size = 32
    tokenizer.save_pretrained(tmp_path)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    random = torch.Generator().manual_seed(0)
    packed: dict[str, torch.Tensor] = {}
    truth: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(tmp_path / "model.safetensors").items():
        if not name.endswith(("gate_up_proj", "down_proj")):
            packed[name] = tensor.bfloat16()
            continue
        experts, width, out = tensor.shape
        codes = torch.randint(0, 16, (experts, out, width // 32, 32), generator=random, dtype=torch.uint8)
        exponents = torch.randint(120, 126, (experts, out, width // 32), generator=random, dtype=torch.uint8)
        packed[f"{name}_blocks"] = codes[..., 0::2] | codes[..., 1::2] << 4
        packed[f"{name}_scales"] = exponents
        numbers = E2M1[codes.long()] * torch.exp2(exponents.float() - 127).unsqueeze(-1)
        truth[name] = numbers.reshape(experts, out, width).mT
    skipped = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    quantised(tmp_path, {"quant_method": "mxfp4", "modules_to_not_convert": skipped}, packed)
    require_editable(load_model(str(tmp_path), dtype="bfloat16", device="cpu")[0], truth)


def test_blocks_in_fp8_are_unpacked(build: Any, tmp_path: Path) -> None:
    sizes = {"vocab_size": 64, "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 2}
    build(LlamaConfig(**sizes, num_attention_heads=4), folder=tmp_path)
    packed: dict[str, torch.Tensor] = {}
    truth: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(tmp_path / "model.safetensors").items():
        packed[name] = tensor
        if "_proj" in name:
            scales = torch.rand(len(tensor) // 16, tensor.shape[1] // 16) + 0.5
            every = scales.repeat_interleave(16, 0).repeat_interleave(16, 1)
            packed[name] = (tensor / every).to(torch.float8_e4m3fn)
            packed[f"{name}_scale_inv"] = scales
            truth[name] = packed[name].float() * every
    said = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [16, 16]}
    quantised(tmp_path, said | {"modules_to_not_convert": ["lm_head"]}, packed)
    require_editable(load_model(str(tmp_path), dtype="float32", device="cpu")[0], truth)


@pytest.mark.parametrize(
    "said",
    [
        {"quant_method": "gptq", "bits": 4, "group_size": 128},
        {"quant_method": "awq", "bits": 4},
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "_load_in_4bit": True},
    ],
    ids=lambda said: said["quant_method"],
)
def test_what_can_not_be_unpacked_is_refused_before_it_is_read(build: Any, tmp_path: Path, said: Any) -> None:
    build(folder=tmp_path)
    quantised(tmp_path, said)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(
        InputError, match=rf"is quantised \({said['quant_method']}\).*export the edit.*adapter"
    ) as error:
        load_model(str(tmp_path), device="cpu")
    assert "\n" not in str(error.value)
