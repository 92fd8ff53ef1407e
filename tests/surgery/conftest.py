"""A tiny random Llama with a word-level tokenizer: every test of the method runs on real modules in milliseconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from surgery import Edit, load_model, rank_rows

WORDS = ["<unk>", "<pad>", *(f"w{number}" for number in range(62))]
SIZES: dict[str, Any] = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
    "bos_token_id": None,
    "eos_token_id": None,
}


@pytest.fixture(scope="session")
def sizes() -> dict[str, Any]:
    return SIZES


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", pad_token="<pad>")


@pytest.fixture(scope="session")
def build(tokenizer: PreTrainedTokenizerFast) -> Callable[..., PreTrainedModel]:
    """Makes a random model; with a folder it is saved there too, with the tokenizer."""

    def make(config: Any = None, seed: int = 0, folder: Path | None = None, **save: Any) -> PreTrainedModel:
        torch.manual_seed(seed)
        config = config or LlamaConfig(**SIZES)
        model = AutoModelForCausalLM.from_config(config)
        # Wider than the usual 0.02, so that no rounding hides a difference.
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        model.eval().requires_grad_(False)
        if folder is not None:
            model.save_pretrained(folder, **save)
            tokenizer.save_pretrained(folder)
        return model

    return make


@pytest.fixture(scope="session")
def folder(build: Callable[..., PreTrainedModel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "llama"
    build(folder=path)
    return path


@pytest.fixture
def model(folder: Path) -> LlamaForCausalLM:
    return load_model(str(folder), device="cpu")[0]


@pytest.fixture(scope="session")
def other_model(build: Callable[..., PreTrainedModel]) -> PreTrainedModel:
    return build(seed=1)


@pytest.fixture
def direction() -> torch.Tensor:
    return torch.randn(16, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def make_edit(direction: torch.Tensor) -> Callable[..., Edit]:
    """An edit of a model's lowest rows."""

    def make(model: PreTrainedModel, alpha: float = 1.0, top_k: int = 20, **options: Any) -> Edit:
        component = options.pop("component", "gate_proj")
        towards = options.pop("direction", direction)
        return Edit(towards, alpha, rank_rows(model, towards, component).lowest(top_k), **options)

    return make


@pytest.fixture
def bits() -> Callable[[PreTrainedModel], dict[str, bytes]]:
    """Every parameter's bytes, to compare models bit by bit."""
    return lambda model: {
        name: parameter.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        for name, parameter in model.named_parameters()
    }
