"""A large output head is given contiguous input on a CPU, and nothing else of the model changes."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, PreTrainedModel

from surgery import load_model
from surgery.model.fingerprints import fingerprint
from surgery.model.output_head import LEAST_NUMBERS, give_contiguous_input


def was_contiguous(model: Any, dtype: torch.dtype = torch.bfloat16) -> bool:
    """Whether the head of a model sees contiguous input in a prompt's pass of `generate`."""
    seen: list[bool] = []
    head = model.get_output_embeddings()
    own = head.forward
    head.forward = lambda states: (seen.append(states.is_contiguous()), own(states))[1]
    try:
        model.to(dtype)
        model.generate(torch.arange(2, 12).reshape(2, 5), max_new_tokens=1, do_sample=False)
    finally:
        del head.forward
    (first,) = seen
    return first


@pytest.fixture(scope="module")
def large(
    build: Callable[..., PreTrainedModel], sizes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("large")
    build(LlamaConfig(**sizes | {"vocab_size": LEAST_NUMBERS // 16}), folder=path)
    return path


def test_a_loaded_model_hands_its_head_contiguous_input(large: Path) -> None:
    model, _ = load_model(str(large), device="cpu")
    assert was_contiguous(model)
    assert was_contiguous(copy.deepcopy(model))
    assert was_contiguous(pickle.loads(pickle.dumps(model)))
    adapted: Any = get_peft_model(model, LoraConfig(target_modules=["gate_proj"]))
    assert was_contiguous(adapted)


def test_without_it_the_head_gets_a_slice(large: Path) -> None:
    model, _ = load_model(str(large), device="cpu")
    model.get_output_embeddings()._forward_pre_hooks.clear()
    assert not was_contiguous(model)


def test_it_changes_no_name_value_or_file(large: Path, tmp_path: Path) -> None:
    model, _ = load_model(str(large), device="cpu")
    plain = copy.deepcopy(model)
    plain.get_output_embeddings()._forward_pre_hooks.clear()
    assert fingerprint(model) == fingerprint(plain)
    model.save_pretrained(tmp_path / "hooked")
    plain.save_pretrained(tmp_path / "plain")
    for file in (tmp_path / "plain").iterdir():
        assert file.read_bytes() == (tmp_path / "hooked" / file.name).read_bytes()
    ids = torch.arange(2, 22).reshape(2, 10)
    assert torch.equal(model(ids).logits, plain(ids).logits)


def test_it_is_done_once_and_not_for_a_small_head(large: Path, model: PreTrainedModel) -> None:
    loaded, _ = load_model(str(large), device="cpu")
    give_contiguous_input(loaded)
    assert len(loaded.get_output_embeddings()._forward_pre_hooks) == 1
    assert not model.get_output_embeddings()._forward_pre_hooks
