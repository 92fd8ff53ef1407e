"""Models whose weights lie on several devices, in memory or on disk: edited as if they were all in one place."""

import hashlib
from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch
from transformers import PreTrainedModel

from surgery import Edit, fingerprint, load_model, rank_rows
from surgery.model.offload import input_device
from surgery.states.hidden_states import collect_hidden_states
from tools.tiny_models import WIDTH, tiny_model

TOKENS = torch.arange(2, 22).reshape(2, 10)
DIRECTION = torch.randn(WIDTH, generator=torch.Generator().manual_seed(3))
WHOLE = ("model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head")
MAPS = {
    "second layer on disk": dict.fromkeys(WHOLE, "cpu") | {"model.layers.0": "cpu", "model.layers.1": "disk"},
    "layers on disk": dict.fromkeys(WHOLE, "cpu") | {"model.layers": "disk"},
    "all on disk": {"": "disk"},
}


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS.to(input_device(model)), use_cache=False).logits


def contents(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


# Mixtral's experts are separate matrices in its files, and gathered while loading: they can't be read from there.
@pytest.fixture(params=["llama", "mixtral", "gpt_oss"])
def whole(request: pytest.FixtureRequest) -> PreTrainedModel:
    return tiny_model(request.param)


def edit_of(model: PreTrainedModel) -> Edit:
    return Edit(DIRECTION, 0.5, rank_rows(model, DIRECTION).lowest(20))


def require_same_edit(model: PreTrainedModel, whole: PreTrainedModel) -> None:
    """The model has the other's fingerprint and ranking, its edit has the other's effect, and leaves nothing."""
    plain = logits(whole)
    edit = edit_of(whole)
    with edit.applied_to(whole) as expected:
        edited = logits(whole)
    assert not torch.equal(edited, plain)
    assert fingerprint(model) == fingerprint(whole)
    assert edit_of(model).fingerprint == edit.fingerprint
    for _ in range(2):
        with edit.applied_to(model) as receipt:
            torch.testing.assert_close(logits(model), edited)
        assert receipt == expected
        torch.testing.assert_close(logits(model), plain)
    with edit.applied_to(model), Edit(DIRECTION, -2.0, edit.region).applied_to(model):
        twice = logits(model)
    with edit.applied_to(whole), Edit(DIRECTION, -2.0, edit.region).applied_to(whole):
        torch.testing.assert_close(twice, logits(whole))
    torch.testing.assert_close(logits(model), plain)


@pytest.mark.parametrize("name", MAPS)
def test_a_device_map_with_a_disk(whole: Any, tokenizer: Any, tmp_path: Path, name: str) -> None:
    tokenizer.save_pretrained(tmp_path)
    whole.save_pretrained(tmp_path)
    before = contents(tmp_path)
    model, _ = load_model(str(tmp_path), dtype="float32", device=dict(MAPS[name]))
    assert any(parameter.device.type == "meta" for parameter in model.parameters())
    require_same_edit(model, whole)
    assert contents(tmp_path) == before


def test_weights_in_memory_that_are_fetched_for_each_pass(whole: Any) -> None:
    model = tiny_model(whole.config.model_type)
    accelerate.cpu_offload(model, execution_device="cpu")
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    require_same_edit(model, whole)


def test_hidden_states_of_an_offloaded_model(folder: Path, model: Any, tokenizer: Any) -> None:
    texts = ["a b c", "b c d e"]
    offloaded, _ = load_model(str(folder), device={"": "disk"})
    found = collect_hidden_states(offloaded, tokenizer, texts, [1, 4], max_length=8)
    for layer, states in collect_hidden_states(model, tokenizer, texts, [1, 4], max_length=8).items():
        torch.testing.assert_close(found[layer], states)


def test_weights_shared_with_the_embedding_stay_shared(build: Any) -> None:
    from transformers import LlamaConfig

    model = build(
        LlamaConfig(
            vocab_size=64,
            hidden_size=WIDTH,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            tie_word_embeddings=True,
        )
    )
    plain = logits(model)
    with edit_of(model).applied_to(model):
        assert model.lm_head.weight is model.model.embed_tokens.weight
        assert not torch.equal(logits(model), plain)
    assert torch.equal(logits(model), plain)
