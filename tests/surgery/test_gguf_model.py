"""A model read from a GGUF file is the model, its tokenizer and template with it; what would be another is refused."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf_world import NAMES, SENTENCES, TEMPLATE, with_tensors

from surgery import Edit, InputError, fingerprint, load_model, rank_rows
from surgery.files.gguf_file import GgufFile
from surgery.from_gguf.gguf_model import gguf_skeleton
from surgery.from_gguf.gguf_rope import llama3_divisors
from surgery.model.gguf_identity import gguf_identity

Make = Callable[..., Path]


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(**tokenizer(SENTENCES[7], return_tensors="pt")).logits
    return found


@pytest.mark.parametrize("tied", [False, True])
def test_a_file_of_plain_floats_gives_the_very_model_and_tokenizer_of_the_folder(
    make_gguf: Make, tiny_llama: Make, tied: bool
) -> None:
    folder = load_model(str(tiny_llama(tied=tied)))
    model, tokenizer = load_model(str(make_gguf("F32", {"tied": tied})))
    assert torch.equal(logits(model, tokenizer), logits(*folder))
    assert model.dtype == torch.float32
    assert tokenizer.chat_template == TEMPLATE
    assert model.generation_config is not None and model.generation_config.eos_token_id == 2
    for text in (*NAMES, *SENTENCES[::50], "  two  spaces, Capitals\nand ünïcode 123"):
        assert tokenizer(text)["input_ids"] == folder[1](text)["input_ids"]


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_blocks_are_unpacked_to_the_numbers_that_the_package_unpacks_them_to(make_gguf: Make, kind: str) -> None:
    from gguf import GGUFReader
    from gguf.quants import dequantize

    path = make_gguf(kind)
    tensor = next(one for one in GGUFReader(path).tensors if one.name == "blk.2.ffn_up.weight")
    values = torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type)))
    for dtype in ("float32", "bfloat16", "float16"):
        model, _ = load_model(str(path), dtype=dtype)
        assert torch.equal(model.model.layers[2].mlp.up_proj.weight, values.to(getattr(torch, dtype)))


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("F32", torch.float32),
        ("F16", torch.float16),
        ("BF16", torch.bfloat16),
        ("Q8_0", torch.bfloat16),
        ("Q4_0", torch.bfloat16),
    ],
)
def test_auto_takes_the_dtype_of_the_file_and_bfloat16_for_blocks(
    make_gguf: Make, kind: str, dtype: torch.dtype
) -> None:
    model, _ = load_model(str(make_gguf(kind)))
    assert model.dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_model_in_memory_is_the_one_of_its_file_until_it_is_changed(make_gguf: Make, dtype: str) -> None:
    path = make_gguf("Q4_0")
    model, tokenizer = load_model(str(path), dtype=dtype)
    said = gguf_identity(GgufFile.read(path)).fingerprint
    assert fingerprint(model) == said
    before, state = logits(model, tokenizer), {name: one.clone() for name, one in model.state_dict().items()}
    direction = torch.randn(64, generator=torch.Generator().manual_seed(0))
    edit = Edit(direction, 0.5, rank_rows(model, direction).lowest(30))
    assert edit.base_fingerprint == said
    with edit.applied_to(model):
        assert fingerprint(model) != said
        assert not torch.equal(logits(model, tokenizer), before)
    assert fingerprint(model) == said
    assert all(torch.equal(one, state[name]) for name, one in model.state_dict().items())
    model.model.layers[0].mlp.gate_proj.weight.data.mul_(1.5)
    assert fingerprint(model) != said


def test_settings_of_another_model_beside_the_file_are_not_its(make_gguf: Make, tmp_path: Path) -> None:
    path = Path(shutil.copy(make_gguf("F32"), tmp_path / "model.gguf"))
    for name in ("config.json", "generation_config.json", "tokenizer_config.json", "adapter_config.json"):
        (tmp_path / name).write_text('{"model_type": "gpt2", "eos_token_id": 7, "tokenizer_class": "BertTokenizer"}')
    (tmp_path / "chat_template.jinja").write_text("other")
    model, tokenizer = load_model(str(path))
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.generation_config is not None and model.generation_config.eos_token_id == 2
    assert tokenizer.chat_template == TEMPLATE


def test_the_skeleton_has_the_models_shapes(make_gguf: Make) -> None:
    path = make_gguf("Q4_0")
    model, _ = load_model(str(path))
    shapes = {name: one.shape for name, one in gguf_skeleton(GgufFile.read(path), "it").named_parameters()}
    assert shapes == {name: one.shape for name, one in model.named_parameters()}


def test_a_vocabulary_size_that_is_not_told_is_the_vocabularys(make_gguf: Make) -> None:
    model, _ = load_model(str(make_gguf("F32", llama__vocab_size=None)))
    assert model.config.vocab_size == 320


def test_positions_are_scaled_as_llama_3_1_has_them(make_gguf: Make, tiny_llama: Make, tmp_path: Path) -> None:
    divisors = llama3_divisors(10000.0, 16, 8.0)
    path = with_tensors(
        make_gguf("F32", {"llama3": True}),
        tmp_path / "m.gguf",
        lambda all_: all_.update({"rope_freqs.weight": divisors}),
    )
    model, tokenizer = load_model(str(path))
    scaled = load_model(str(tiny_llama(llama3=True)))
    assert torch.equal(logits(model, tokenizer), logits(*scaled))
    assert model.config.rope_parameters["rope_type"] == "llama3"
    unscaled, _ = load_model(str(make_gguf("F32", {"llama3": True})))
    assert not torch.equal(logits(unscaled, tokenizer), logits(*scaled))


def test_linear_and_yarn_scaling_are_kept(make_gguf: Make) -> None:
    scaling = {"llama__rope__scaling__type": "linear", "llama__rope__scaling__factor": 4.0}
    model, _ = load_model(str(make_gguf("F32", **scaling)))
    assert model.config.rope_parameters["rope_type"] == "linear"
    assert model.config.rope_parameters["factor"] == 4.0
    yarn = {
        "llama__rope__scaling__type": "yarn",
        "llama__rope__scaling__factor": 4.0,
        "llama__rope__scaling__original_context_length": 32,
    }
    model, _ = load_model(str(make_gguf("F32", **yarn)))
    assert model.config.rope_parameters["rope_type"] == "yarn"
    assert model.config.rope_parameters["original_max_position_embeddings"] == 32


def drop(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda tensors: tensors.pop(name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop("blk.1.ffn_up.weight"), "lacks 1 of its weights, model.layers.1.mlp.up_proj.weight among them"),
        (
            lambda tensors: tensors.update({"blk.0.attn_q.bias": np.ones(64, np.float32)}),
            "holds 1 weights that transformers leaves out for architecture 'llama' (blk.0.attn_q.bias among them)",
        ),
        (
            lambda tensors: tensors.update({"rope_freqs.weight": np.linspace(1, 3, 8, dtype=np.float32)}),
            "scales its positions in a way that can't be read",
        ),
        (
            lambda tensors: tensors.update({"blk.0.ffn_up.weight": np.ones((95, 64), np.float32)}),
            "can't be read by transformers",
        ),
    ],
)
def test_weights_that_are_missing_left_over_or_of_another_shape_are_refused(
    make_gguf: Make, tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    path = with_tensors(make_gguf("F32"), tmp_path / "m.gguf", change)
    with pytest.raises(InputError, match=re.escape(words)):
        load_model(str(path))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"general__architecture": "rwkv6"}, "(architecture 'rwkv6') can't be read by transformers"),
        ({"general__architecture": "bert"}, "(architecture 'bert') can't be read by transformers"),
        ({"tokenizer__ggml__model": "plamo2"}, "tokenizer of kind 'plamo2'"),
        ({"tokenizer__ggml__pre": "deepseek-coder"}, "splits texts as 'deepseek-coder' does"),
        ({"llama__rope__scaling__type": "longrope"}, "scales its positions"),
    ],
)
def test_what_transformers_reads_as_another_model_or_not_at_all_is_refused_before_it_is_loaded(
    make_gguf: Make, changed: dict[str, Any], words: str
) -> None:
    file = GgufFile.read(make_gguf("F32", **changed))
    with pytest.raises(InputError, match=re.escape(words)):
        gguf_skeleton(file, f"model.path '{file.path}'")


def test_blocks_that_can_not_be_unpacked_are_refused_before_it_is_loaded(
    make_gguf: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gguf.quants

    def not_known(*_: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(gguf.quants, "dequantize", not_known)
    with pytest.raises(InputError, match="keeps weights as Q4_0, which can't be unpacked here"):
        gguf_skeleton(GgufFile.read(make_gguf("Q4_0")), "it")


def test_a_file_is_not_offloaded_to_disk(make_gguf: Make) -> None:
    with pytest.raises(InputError, match="can't be offloaded to disk"):
        load_model(str(make_gguf("F32")), device={"": "disk"})


@pytest.mark.parametrize("begins", [True, False, None])
@pytest.mark.parametrize(("split", "whole"), [("llama-bpe", True), ("tekken", True), ("qwen2", False)])
def test_a_text_begins_and_a_word_stays_whole_as_in_llama_cpp(
    make_gguf: Make, split: str, whole: bool, begins: bool | None
) -> None:
    """What llama.cpp itself does is held in tests/gguf; transformers leaves both out."""
    options = {"unmerged": True}
    path = make_gguf("F32", options, tokenizer__ggml__pre=split, tokenizer__ggml__add_bos_token=begins)
    _, tokenizer = load_model(str(path))
    ids = tokenizer("qzxq")["input_ids"]
    assert (ids[0] == tokenizer.bos_token_id) == (whole if begins is None else begins)
    assert (318 in ids) == whole


def test_spaces_before_a_text_and_after_special_tokens_are_as_in_the_folder(tiny_llama: Make, tmp_path: Path) -> None:
    from surgery.gguf.gguf_llama import llama_content

    path = tmp_path / "m.gguf"
    llama_content([], tiny_llama(split="llama")).write(path)
    _, tokenizer = load_model(str(path))
    _, own = load_model(str(tiny_llama(split="llama")))
    for text in ("ann said", "  two  spaces", "<s>ann said</s> to", "ann </s>said", "日本 12"):
        assert tokenizer(text)["input_ids"] == own(text)["input_ids"]
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == own.decode(own(text)["input_ids"])
