"""What a model is: every value of every tensor, its config, tokenizer, template and generation settings."""

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
from transformers import DeepseekV3Config, LlamaConfig

from surgery import InputError, fingerprint, load_model
from surgery.model.fingerprints import base_fingerprint, folder_fingerprint, model_identity, weights_digest
from surgery.model.model_files import skeleton


def flipped(source: Path, target: Path, name: str, place: int = 0) -> Path:
    """A copy of a model's folder in which the lowest bit of one value of one tensor is another."""
    shutil.copytree(source, target)
    tensors = load_file(target / "model.safetensors")
    tensors[name].view(-1).view(torch.uint8)[place * tensors[name].element_size()] ^= 1
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    return target


def rewritten(source: Path, target: Path, file: str, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of a model's folder with another JSON file."""
    shutil.copytree(source, target)
    said = json.loads((target / file).read_text()) if (target / file).is_file() else {}
    change(said)
    (target / file).write_text(json.dumps(said, indent=7))
    return target


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("save", [{}, {"max_shard_size": "2KB"}])
def test_a_model_is_its_folder_in_every_dtype(build: Any, sizes: Any, tmp_path: Path, tied: bool, save: Any) -> None:
    folder = tmp_path / "model"
    model = build(LlamaConfig(**sizes, tie_word_embeddings=tied), folder=folder, **save)
    assert (len(list(folder.glob("*.safetensors"))) > 1) == bool(save)
    expected = folder_fingerprint(folder)
    assert expected == fingerprint(model)
    renamed = tmp_path / "another name"
    shutil.move(folder, renamed)
    assert folder_fingerprint(renamed) == expected
    for dtype in ("float32", "bfloat16", "float16"):
        assert fingerprint(load_model(str(renamed), dtype=dtype, device="cpu")[0]) == expected


def test_the_lowest_bit_of_any_tensor_makes_another_model(folder: Path, tmp_path: Path) -> None:
    names = list(load_file(folder / "model.safetensors"))
    found = {folder_fingerprint(flipped(folder, tmp_path / name, name)) for name in names}
    assert len(found) == len(names) == 39
    assert folder_fingerprint(folder) not in found
    one = tmp_path / names[7]
    assert fingerprint(load_model(str(one), device="cpu")[0]) == folder_fingerprint(one)
    assert folder_fingerprint(Path(shutil.copytree(one, tmp_path / "copy"))) == folder_fingerprint(one)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), dtype=st.sampled_from(["float32", "bfloat16"]))
def test_one_bit_of_one_value_in_memory_is_another_model(build: Any, data: Any, dtype: str) -> None:
    model = build().to(getattr(torch, dtype))
    before, (name, values) = fingerprint(model), data.draw(st.sampled_from(list(model.named_parameters())))
    place = data.draw(st.integers(0, values.numel() - 1))
    # Written past autograd's own count of changes.
    values.data.view(-1)[place : place + 1].view(torch.uint8)[0] ^= 1
    assert fingerprint(model) != before, name
    values.data.view(-1)[place : place + 1].view(torch.uint8)[0] ^= 1
    assert fingerprint(model) == before


def test_a_buffer_that_is_saved_counts_like_a_weight(build: Any, tmp_path: Path) -> None:
    config = DeepseekV3Config(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=24,
        moe_intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_group=1,
        topk_group=1,
        first_k_dense_replace=1,
        q_lora_rank=8,
        kv_lora_rank=8,
        qk_rope_head_dim=4,
        qk_nope_head_dim=4,
        v_head_dim=8,
    )
    model = build(config, folder=tmp_path / "moe")
    name = next(name for name, _ in model.named_buffers() if name.endswith("e_score_correction_bias"))
    before = fingerprint(model)
    assert before == folder_fingerprint(tmp_path / "moe")
    model.get_buffer(name)[0] += 1
    assert fingerprint(model) != before


@pytest.mark.parametrize(
    ("part", "file", "change"),
    [
        ("config", "config.json", lambda said: said["rope_parameters"].update(rope_theta=300.0)),
        ("config", "config.json", lambda said: said.update(rms_norm_eps=1e-3)),
        ("config", "config.json", lambda said: said.update(hidden_act="gelu")),
        ("tokenizer", "tokenizer.json", lambda said: said["model"]["vocab"].update(w1=3, w2=2)),
        ("tokenizer", "tokenizer_config.json", lambda said: said.update(add_eos_token=True)),
        ("chat_template", "tokenizer_config.json", lambda said: said.update(chat_template="{{ messages }}")),
        ("chat_template", "chat_template.json", lambda said: said.update(chat_template="{{ messages }}")),
        ("generation", "generation_config.json", lambda said: said.update(eos_token_id=[2, 3])),
        ("generation", "generation_config.json", lambda said: said.update(repetition_penalty=1.3)),
    ],
)
def test_each_part_that_can_change_a_number_is_told_apart(
    folder: Path, tmp_path: Path, part: str, file: str, change: Callable[[dict[str, Any]], object]
) -> None:
    was = model_identity(folder).parts()
    now = model_identity(rewritten(folder, tmp_path / "other", file, change)).parts()
    assert [name for name in was if was[name] != now[name]] == [part]


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", lambda said: said.update(_name_or_path="/somewhere", transformers_version="5.0.0")),
        ("config.json", lambda said: said.update(use_cache=False)),
        ("config.json", lambda said: said.pop("attention_bias", None)),
        ("tokenizer_config.json", lambda said: said.update(name_or_path="/somewhere")),
        ("generation_config.json", lambda said: said.update(transformers_version="5.0.0")),
        ("README.json", lambda said: said.update(licence="none")),
    ],
)
def test_what_no_number_depends_on_is_no_part_of_it(
    folder: Path, tmp_path: Path, file: str, change: Callable[[dict[str, Any]], object]
) -> None:
    assert model_identity(rewritten(folder, tmp_path / "other", file, change)) == model_identity(folder)


def test_an_edit_of_the_base_with_one_changed_value_is_refused(
    folder: Path, tmp_path: Path, model: Any, make_edit: Any
) -> None:
    edit = make_edit(model)
    other = flipped(folder, tmp_path / "other", "model.layers.3.mlp.down_proj.weight", 5)
    with (
        pytest.raises(InputError, match="made for model"),
        edit.applied_to(load_model(str(other), device="cpu")[0]),
    ):
        pass
    with pytest.raises(InputError, match="made for model"):
        edit.save_checkpoint(other, tmp_path / "out")
    other = rewritten(folder, tmp_path / "wider", "config.json", lambda said: said.update(rms_norm_eps=1e-3))
    with pytest.raises(InputError, match="made for model"):
        edit.save_checkpoint(other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_are_read_again_only_when_their_files_changed(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    shutil.copytree(folder, tmp_path / "model")
    shapes, asked, kept = skeleton(tmp_path / "model"), [], {}

    def keep(identity: Any, make: Callable[[], str]) -> str:
        key = json.dumps(identity)
        asked.append(key in kept)
        if key not in kept:
            kept[key] = make()
        return kept[key]

    # Files of just now are not trusted to tell of the next change: their times are rounded.
    first = weights_digest(tmp_path / "model", False, shapes, keep)
    assert asked == []
    monkeypatch.setattr("surgery.model.fingerprints.SETTLED", 0)
    assert weights_digest(tmp_path / "model", False, shapes, keep) == first
    assert weights_digest(tmp_path / "model", False, shapes, keep) == first
    assert asked == [False, True]
    content = bytearray((tmp_path / "model/model.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "model/model.safetensors").write_bytes(content)
    assert weights_digest(tmp_path / "model", False, shapes, keep) != first
    assert asked == [False, True, False]


def test_tied_weights_that_are_stored_twice_and_differ_are_two(build: Any, sizes: Any, tmp_path: Path) -> None:
    model = build(LlamaConfig(**sizes, tie_word_embeddings=True), folder=tmp_path / "tied")
    tensors = load_file(tmp_path / "tied/model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] * 2
    save_file(tensors, tmp_path / "tied/model.safetensors", {"format": "pt"})
    loaded = load_model(str(tmp_path / "tied"), device="cpu")[0]
    assert fingerprint(loaded) == folder_fingerprint(tmp_path / "tied") != fingerprint(model)


def test_edits_applied_are_part_of_the_fingerprint_in_their_order(model: Any, make_edit: Any) -> None:
    base, first, second = fingerprint(model), make_edit(model, 1.0), make_edit(model, -0.5)
    with first.applied_to(model):
        one = fingerprint(model)
        with second.applied_to(model):
            both = fingerprint(model)
            assert base_fingerprint(model) == base
        assert fingerprint(model) == one
    assert fingerprint(model) == base
    with second.applied_to(model), first.applied_to(model):
        swapped = fingerprint(model)
    with first.applied_to(model):
        assert fingerprint(model) == one
    assert len({base, one, both, swapped}) == 4
