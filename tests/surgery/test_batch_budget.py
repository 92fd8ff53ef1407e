import gc
from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM, PreTrainedConfig

from surgery.states import batch_budget
from surgery.states.batch_budget import (
    WORKS,
    BatchBudget,
    ModelShape,
    Work,
    budget_limits,
    found_budget,
    token_bytes,
    tokens_that_fit,
)

LLAMA2_7B = ModelShape(layers=32, stream=4096, widest=11008, vocabulary=32000, cached=8192, number_bytes=2)
# 6,738,415,616 parameters in bfloat16.
WEIGHTS = 13_476_831_232
GB = 10**9


def without_weights(config: PreTrainedConfig, kind: type[nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return kind(config).to(torch.bfloat16)


def test_the_shape_is_the_configs() -> None:
    config = LlamaConfig(
        hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32, vocab_size=32000
    )
    model = without_weights(config, LlamaForCausalLM)
    assert ModelShape.of(model) == LLAMA2_7B  # type: ignore[arg-type]
    assert sum(parameter.numel() * parameter.element_size() for parameter in model.parameters()) == WEIGHTS


def test_grouped_heads_and_a_mixtures_experts_count() -> None:
    config = MixtralConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=2,
        num_experts_per_tok=3,
        vocab_size=100,
    )
    shape = ModelShape.of(without_weights(config, MixtralForCausalLM))  # type: ignore[arg-type]
    # Three experts of 96 at a time; two heads of 64 / 8 numbers, keys and values.
    assert (shape.widest, shape.cached) == (288, 32)


def test_llama2_7b_on_80_gb_by_hand() -> None:
    # Half of 80e9 - 13.48e9 is 33.26e9 bytes for a batch.
    # Activations: 2 bytes x (4 x 11,008 + 8 x 4,096) = 153,600.
    assert token_bytes(LLAMA2_7B, "hidden_states") == 153_600
    # 33.26e9 / 153,600 = 216,541, over what pays: 8,192.
    assert tokens_that_fit(LLAMA2_7B, "hidden_states", 80 * GB, WEIGHTS) == 8192
    # Keys and values: 32 layers x 2 x 32 heads x 128 x 2 bytes = 524,288; with activations 677,888.
    assert token_bytes(LLAMA2_7B, "generation") == 677_888
    # 33.26e9 / 677,888 = 49,065: 2 ** 15.
    assert tokens_that_fit(LLAMA2_7B, "generation", 80 * GB, WEIGHTS) == 32_768
    # Logits and their logarithms: 32,000 x (2 + 4) = 192,000; with activations 345,600.
    assert token_bytes(LLAMA2_7B, "loglikelihood") == 345_600
    # 33.26e9 / 345,600 = 96,243: 2 ** 16.
    assert tokens_that_fit(LLAMA2_7B, "loglikelihood", 80 * GB, WEIGHTS) == 65_536


def test_llama2_7b_on_16_gb_by_hand() -> None:
    # 1.26e9 bytes: 8,214, 1,861, 3,650 and again 8,214 tokens.
    assert [tokens_that_fit(LLAMA2_7B, work, 16 * GB, WEIGHTS) for work in WORKS] == [8192, 1024, 2048, 8192]


@pytest.mark.parametrize("work", WORKS)
def test_there_is_a_least_and_a_most(work: Work) -> None:
    assert tokens_that_fit(LLAMA2_7B, work, 10 * GB, WEIGHTS) == 256
    assert tokens_that_fit(replace(LLAMA2_7B, layers=1), work, 10**15, WEIGHTS) == batch_budget.MOST[work]


def test_a_small_model_on_a_cpu_has_the_budgets_that_suit_its_caches(model) -> None:
    assert {work: found_budget(model, work) for work in WORKS} == {
        "hidden_states": 1024,
        "generation": 8192,
        "loglikelihood": 4096,
        "judging": 8192,
    }


def test_on_a_cpu_a_vocabulary_and_a_limit_of_memory_count(sizes, monkeypatch: pytest.MonkeyPatch) -> None:
    def budget(vocabulary: int, dtype: torch.dtype, memory: int) -> int:
        monkeypatch.setattr(batch_budget, "machine_memory", lambda: memory)
        return found_budget(
            LlamaForCausalLM(LlamaConfig(**sizes | {"vocab_size": vocabulary})).to(dtype), "loglikelihood"
        )

    # Float32: 2 x 262,144 x 16 x 4 bytes are 33.6e6 of weights and 262,144 x 8 of a token's logits: 922 of them in
    # half of 3.9e9; in bfloat16 1,238.
    assert budget(262_144, torch.float32, 3_900_000_000) == 512
    assert budget(262_144, torch.bfloat16, 3_900_000_000) == 1024
    assert budget(262_144, torch.float32, 10**10) == 2048
    assert budget(64, torch.float32, 3_900_000_000) == 4096
    assert budget(262_144, torch.float32, 10**8) == 256


def test_what_a_model_learned_goes_with_it() -> None:
    model, other = nn.Linear(1, 1), nn.Linear(1, 1)
    BatchBudget(model, "generation", 8192).lower(8000)
    assert budget_limits(model) == {"generation": 4096}
    assert BatchBudget(model, "loglikelihood", 8192).tokens == 8192
    assert BatchBudget(other, "generation", 8192).tokens == 8192
    known = len(batch_budget._limits)
    del model
    gc.collect()
    assert len(batch_budget._limits) == known - 1


def test_a_small_batch_that_fails_lowers_the_budget_below_it_at_once() -> None:
    budget = BatchBudget(nn.Linear(1, 1), "generation", 8192)
    budget.lower(300)
    assert budget.notes() == {"work": "generation", "tokens_per_batch": 256, "halvings": 1}
