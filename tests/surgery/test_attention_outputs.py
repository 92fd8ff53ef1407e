"""Mean attention outputs, against a forward pass in matrix arithmetic."""

from typing import Any

import numpy as np
import pytest
import torch

from surgery import InputError
from surgery.activity.attention_outputs import mean_attention_outputs
from tools.tiny_models import tiny_model

TEXTS = [" ".join(f"w{(7 * i + 3 * j) % 60}" for j in range(1 + (5 * i) % 13)) for i in range(20)]


@pytest.mark.parametrize("budget", [None, 30])
@pytest.mark.parametrize("name", ["model", "phi3"])
def test_the_mean_over_texts_of_each_texts_mean(
    name: str, budget: int | None, request: pytest.FixtureRequest, tokenizer: Any, by_hand: Any
) -> None:
    model = request.getfixturevalue(name)
    found = mean_attention_outputs(model, tokenizer, TEXTS, tokens_per_batch=budget)
    layers = [by_hand(model, tokenizer(text)["input_ids"]) for text in TEXTS]
    assert list(found) == [1, 2, 3, 4]
    for layer, values in found.items():
        expected = np.mean([one[layer - 1][1].mean(0) for one in layers], axis=0)
        assert values.dtype == torch.float32
        torch.testing.assert_close(values.double(), torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_an_edit_changes_what_comes_after_it(model: Any, tokenizer: Any, make_edit: Any) -> None:
    before = mean_attention_outputs(model, tokenizer, TEXTS)
    edit = make_edit(model, alpha=2.0)
    with edit.applied_to(model):
        edited = mean_attention_outputs(model, tokenizer, TEXTS)
    assert torch.equal(before[1], edited[1])
    assert not torch.equal(before[4], edited[4])
    assert not any(block.self_attn.o_proj._forward_hooks for block in model.model.layers)


def test_layers_without_attention_are_named(tokenizer: Any) -> None:
    with pytest.raises(InputError, match=r"no attention output \(o_proj\) that is known in layer 1$"):
        mean_attention_outputs(tiny_model("bamba"), tokenizer, TEXTS)
    with pytest.raises(InputError, match="layer 1 holds"):
        mean_attention_outputs(tiny_model("xlstm"), tokenizer, TEXTS)


def test_no_texts_are_refused(model: Any, tokenizer: Any) -> None:
    with pytest.raises(InputError, match="no texts"):
        mean_attention_outputs(model, tokenizer, [])
