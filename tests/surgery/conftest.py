"""A tiny random Llama with a word-level tokenizer: every test of the method runs on real modules in milliseconds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
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


@pytest.fixture(scope="session")
def by_hand() -> Callable[[Any, Sequence[int]], list[tuple[np.ndarray, np.ndarray]]]:
    """A Llama's or Phi-3's forward pass in matrix arithmetic, float64: a layer (gates [t, d_ff], attention [t, d]).

    The gates are what goes into the activation function; attention is what o_proj adds to the stream.
    """

    def run(model: Any, ids: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        config = model.config
        heads, groups, size = config.num_attention_heads, config.num_key_value_heads, config.hidden_size
        head = size // heads
        weights = {name: value.double().numpy() for name, value in model.state_dict().items()}

        def norm(states: np.ndarray, weight: np.ndarray) -> np.ndarray:
            return weight * states / np.sqrt((states**2).mean(-1, keepdims=True) + config.rms_norm_eps)

        angles = np.outer(np.arange(len(ids)), 10000.0 ** (-np.arange(0, head, 2) / head))
        angles = np.concatenate([angles, angles], axis=1)

        def turned(vectors: np.ndarray) -> np.ndarray:
            half = head // 2
            return vectors * np.cos(angles) + np.concatenate([-vectors[:, half:], vectors[:, :half]], 1) * np.sin(
                angles
            )

        stream, found = weights["model.embed_tokens.weight"][list(ids)], []
        for layer in range(config.num_hidden_layers):
            own = {
                name.removeprefix(f"model.layers.{layer}."): value
                for name, value in weights.items()
                if name.startswith(f"model.layers.{layer}.")
            }
            x = norm(stream, own["input_layernorm.weight"])
            if "self_attn.qkv_proj.weight" in own:
                q, k, v = np.split(own["self_attn.qkv_proj.weight"], [size, size + groups * head])
            else:
                q, k, v = (own[f"self_attn.{name}_proj.weight"] for name in "qkv")
            mixed = []
            for index in range(heads):
                group = index // (heads // groups)
                query = turned(x @ q[index * head : (index + 1) * head].T)
                key = turned(x @ k[group * head : (group + 1) * head].T)
                scores = query @ key.T / np.sqrt(head) + np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
                shares = np.exp(scores - scores.max(1, keepdims=True))
                shares /= shares.sum(1, keepdims=True)
                mixed.append(shares @ (x @ v[group * head : (group + 1) * head].T))
            attention = np.concatenate(mixed, 1) @ own["self_attn.o_proj.weight"].T
            stream = stream + attention
            x = norm(stream, own["post_attention_layernorm.weight"])
            if "mlp.gate_up_proj.weight" in own:
                gate, up = np.split(own["mlp.gate_up_proj.weight"], 2)
            else:
                gate, up = own["mlp.gate_proj.weight"], own["mlp.up_proj.weight"]
            gates = x @ gate.T
            stream = stream + (gates / (1 + np.exp(-gates)) * (x @ up.T)) @ own["mlp.down_proj.weight"].T
            found.append((gates, attention))
        return found

    return run


@pytest.fixture(scope="session")
def phi3(build: Callable[..., PreTrainedModel]) -> PreTrainedModel:
    """Whose gates are the first half of a fused matrix."""
    return build(Phi3Config(**SIZES))
