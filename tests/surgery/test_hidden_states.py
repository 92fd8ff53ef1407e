import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch

from surgery import InputError, collect_hidden_states
from surgery.states.batching import token_budget_batches

TEXTS = [" ".join(f"w{(7 * i + 3 * j) % 60}" for j in range(1 + (5 * i) % 13)) for i in range(30)]


@pytest.fixture
def expected(model: Any, tokenizer: Any) -> dict[int, torch.Tensor]:
    """One text at a time, without padding, by the model's own output_hidden_states."""
    found: dict[int, list[torch.Tensor]] = {layer: [] for layer in range(1, 5)}
    with torch.no_grad():
        for text in TEXTS:
            ids = torch.tensor([tokenizer(text)["input_ids"]])
            states = model(input_ids=ids, output_hidden_states=True).hidden_states
            for layer, rows in found.items():
                rows.append(states[layer][0].mean(0))
    return {layer: torch.stack(rows) for layer, rows in found.items()}


def test_the_mean_over_tokens_after_each_layer_in_the_order_of_the_texts(model, tokenizer, expected) -> None:
    states = collect_hidden_states(model, tokenizer, TEXTS, [4, 1, 2, 3], tokens_per_batch=40)
    assert set(states) == {1, 2, 3, 4}
    for layer, values in states.items():
        assert values.dtype == torch.float32
        torch.testing.assert_close(values, expected[layer], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize(
    ("pooling", "tokens"),
    [("mean_after_first", lambda rows: rows[1:] if len(rows) > 1 else rows), ("last", lambda rows: rows[-1:])],
)
def test_other_tokens_may_be_asked_for(model, tokenizer, monkeypatch, padding_side, pooling, tokens) -> None:
    monkeypatch.setattr(tokenizer, "padding_side", padding_side)
    states = collect_hidden_states(model, tokenizer, TEXTS, [2, 4], pooling=pooling, tokens_per_batch=40)
    assert states.pooling == pooling
    with pytest.raises(InputError, match="pooling 'max' is none of mean, mean_after_first, last"):
        collect_hidden_states(model, tokenizer, TEXTS, [2], pooling="max")
    for text, *rows in zip(TEXTS, states[2], states[4], strict=True):
        with torch.no_grad():
            ids = torch.tensor([tokenizer(text)["input_ids"]])
            alone = model(input_ids=ids, output_hidden_states=True).hidden_states
        for layer, row in zip((2, 4), rows, strict=True):
            torch.testing.assert_close(row, tokens(alone[layer][0]).mean(0), atol=2e-5, rtol=1e-4)


def test_no_hooks_stay_behind(model, tokenizer) -> None:
    collect_hidden_states(model, tokenizer, TEXTS, [1, 3])
    assert not any(block._forward_hooks for block in model.model.layers)


@pytest.mark.parametrize("layer", [1, 2, 3, 4])
def test_a_layer_is_the_same_alone_as_with_the_others(model, tokenizer, layer: int) -> None:
    together = collect_hidden_states(model, tokenizer, TEXTS, [1, 2, 3, 4])
    assert torch.equal(collect_hidden_states(model, tokenizer, TEXTS, [layer])[layer], together[layer])


@pytest.mark.parametrize(("highest", "run"), [(1, [1, 0, 0, 0]), (2, [1, 1, 0, 0]), (4, [1, 1, 1, 1])])
def test_blocks_above_the_highest_layer_do_not_run(model, tokenizer, highest: int, run: list[int]) -> None:
    calls = [0] * 4
    for index, block in enumerate(model.model.layers):
        block.register_forward_pre_hook(lambda *_, index=index: calls.__setitem__(index, calls[index] + 1))
    collect_hidden_states(model, tokenizer, TEXTS[:3], [1, highest])
    assert calls == run


def refuse_above(model: Any, tokens: int) -> list[int]:
    """Makes the first block refuse batches of more tokens; returns the tokens of each that it is asked for."""
    block = model.model.layers[0]
    forward: Callable[..., Any] = block.forward
    asked: list[int] = []

    def limited(hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        asked.append(hidden_states.shape[0] * hidden_states.shape[1])
        if asked[-1] > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(hidden_states, *args, **kwargs)

    block.forward = limited
    return asked


def test_running_out_of_memory_changes_no_result_and_later_runs_begin_lower(model, tokenizer, expected) -> None:
    asked = refuse_above(model, 100)
    states = collect_hidden_states(model, tokenizer, TEXTS, [2])
    torch.testing.assert_close(states[2], expected[2], atol=2e-5, rtol=1e-4)
    # 30 texts of at most 13 tokens, 390; 256 holds 19 of 13, 247; 128 holds 9 of 13, 117; then 64.
    assert [tokens for tokens in asked if tokens > 100] == [390, 247, 117]
    assert states.batches == {"work": "hidden_states", "tokens_per_batch": 64, "halvings": 3}
    asked.clear()
    again = collect_hidden_states(model, tokenizer, TEXTS, [2])
    torch.testing.assert_close(again[2], expected[2], atol=2e-5, rtol=1e-4)
    assert max(asked) <= 64
    assert again.batches == {"work": "hidden_states", "tokens_per_batch": 64, "halvings": 0}


def test_what_is_asked_for_counts_unless_more_than_fits(model, tokenizer) -> None:
    def tokens(asked: int | None) -> object:
        return collect_hidden_states(model, tokenizer, TEXTS, [2], tokens_per_batch=asked).batches["tokens_per_batch"]

    assert (tokens(None), tokens(10_000), tokens(40)) == (1024, 10_000, 40)
    refuse_above(model, 300)
    assert (tokens(None), tokens(10_000), tokens(40)) == (256, 256, 40)


def test_a_single_text_that_does_not_fit_raises_and_leaves_no_hooks(model, tokenizer) -> None:
    refuse_above(model, 0)
    with pytest.raises(torch.OutOfMemoryError):
        collect_hidden_states(model, tokenizer, TEXTS, [1])
    assert not any(block._forward_hooks for block in model.model.layers)


@pytest.mark.parametrize("layers", [[2], pytest.param([4], marks=pytest.mark.slow)])
def test_no_more_than_one_batch_of_unpooled_states_is_alive(model, tokenizer, layers: list[int]) -> None:
    alive: list[weakref.ref[torch.Tensor]] = []
    most = 0

    def note(module: Any, args: Any, output: Any) -> None:
        alive.append(weakref.ref(output if isinstance(output, torch.Tensor) else output[0]))

    def count(module: Any, args: Any) -> None:
        nonlocal most
        gc.collect()
        most = max(most, sum(reference() is not None for reference in alive))

    model.model.layers[1].register_forward_hook(note)
    model.model.layers[0].register_forward_pre_hook(count)
    collect_hidden_states(model, tokenizer, TEXTS, layers, tokens_per_batch=40)
    assert len(alive) > 3
    assert most == 0, "states of an earlier batch were still held when the next one began"


def test_batches_depend_on_the_lengths_alone(model, tokenizer) -> None:
    sizes: list[int] = []
    model.model.layers[0].register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    collect_hidden_states(model, tokenizer, TEXTS, [1], tokens_per_batch=40)
    lengths = [len(text.split()) for text in TEXTS]
    assert sizes == [len(batch) for batch in token_budget_batches(lengths, 40)]


def test_texts_are_cut_at_the_token_limit(model, tokenizer) -> None:
    long = " ".join(TEXTS)
    cut = collect_hidden_states(model, tokenizer, [long], [2], max_length=5)
    short = collect_hidden_states(model, tokenizer, [" ".join(long.split()[:5])], [2])
    assert torch.equal(cut[2], short[2])
    assert cut.texts_fingerprint != short.texts_fingerprint


def test_the_states_can_be_trained_on(model, tokenizer) -> None:
    states = collect_hidden_states(model, tokenizer, TEXTS, [1])[1]
    weight = torch.zeros(16, requires_grad=True)
    (states @ weight).sum().backward()
    torch.testing.assert_close(weight.grad, states.sum(0))


@pytest.mark.parametrize("layers", [[0], [5], [1, -1], []])
def test_a_layer_the_model_does_not_have(model, tokenizer, layers: list[int]) -> None:
    with pytest.raises(InputError, match="its layers are 1 to 4") as error:
        collect_hidden_states(model, tokenizer, TEXTS, layers)
    assert "\n" not in str(error.value)


def test_a_text_without_tokens_is_named(model, tokenizer) -> None:
    with pytest.raises(InputError, match="text 2 of 3 has no tokens") as error:
        collect_hidden_states(model, tokenizer, ["w1", " \n ", "w2"], [1])
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="no texts"):
        collect_hidden_states(model, tokenizer, [], [1])
