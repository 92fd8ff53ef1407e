import random
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from evaluation.generation import Generation, generate
from surgery.errors import InputError

from .conftest import make_model, make_tokenizer, with_little_memory

PROMPTS = ["w1", "w2 w3 w4 w5 w6 w7", "w9 w9", "w30 w1 w22 w4", "w1 w2 w3", "w39 w38 w37 w36 w35", "w5", "w6 w6 w6 w6"]
SIX = Generation(max_new_tokens=6)


def plain_greedy(model: LlamaForCausalLM, tokenizer: Any, prompt: str, new: int, longest: int = 10**9) -> str:
    """One prompt at a time, no padding, no cache, no generate()."""
    ids = tokenizer(prompt)["input_ids"]
    if len(ids) > longest - new:
        ids = [ids[0], *ids[len(ids) - (longest - new) + 1 :]]
    said: list[int] = []
    with torch.no_grad():
        for _ in range(new):
            token = int(model(torch.tensor([ids + said])).logits[0, -1].argmax())
            if token == tokenizer.eos_token_id:
                break
            said.append(token)
    return tokenizer.decode(said, skip_special_tokens=True)


@pytest.mark.parametrize("tokens_per_batch", [1, 30, 8192])
def test_batches_say_what_each_prompt_alone_would(model: Any, tokenizer: Any, tokens_per_batch: int) -> None:
    settings = Generation(max_new_tokens=6, tokens_per_batch=tokens_per_batch)
    expected = [plain_greedy(model, tokenizer, prompt, 6) for prompt in PROMPTS]
    assert generate(model, tokenizer, PROMPTS, settings).texts == expected
    assert len(set(expected)) > 4


def test_a_continuation_ends_at_any_end_token(model: Any, tokenizer: Any) -> None:
    free = generate(model, tokenizer, PROMPTS, SIX).texts
    end = max(free, key=len).split()[2]
    model.generation_config.eos_token_id = [2, tokenizer.convert_tokens_to_ids(end)]
    ended = generate(model, tokenizer, PROMPTS, SIX).texts
    assert ended == [
        " ".join(text.split()[: text.split().index(end)] if end in text.split() else text.split()) for text in free
    ]
    assert ended != free


def test_a_models_own_sampling_settings_change_nothing(model: Any, tokenizer: Any) -> None:
    expected = generate(model, tokenizer, PROMPTS, SIX).texts
    foreign = GenerationConfig(
        do_sample=True, temperature=0.6, top_p=0.9, repetition_penalty=5.0, eos_token_id=2, min_new_tokens=3
    )
    model.generation_config = foreign
    assert generate(model, tokenizer, PROMPTS, SIX).texts == expected
    assert model.generation_config is foreign
    drawn = Generation(max_new_tokens=6, do_sample=True, seed=3)
    with_foreign = generate(model, tokenizer, PROMPTS, drawn).texts
    model.generation_config = GenerationConfig(eos_token_id=2)
    assert generate(model, tokenizer, PROMPTS, drawn).texts == with_foreign


def test_sampling_follows_its_seed_and_leaves_the_global_random_state(model: Any, tokenizer: Any) -> None:
    drawn = Generation(max_new_tokens=6, do_sample=True, temperature=2.0)
    torch.manual_seed(11)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    first = generate(model, tokenizer, PROMPTS, drawn).texts
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])
    torch.manual_seed(12)
    assert generate(model, tokenizer, PROMPTS, drawn).texts == first
    assert generate(model, tokenizer, PROMPTS, Generation(6, True, 2.0, seed=1)).texts != first
    assert first != generate(model, tokenizer, PROMPTS, SIX).texts


def test_sampling_draws_from_the_models_distribution(model: Any, tokenizer: Any) -> None:
    settings = Generation(max_new_tokens=1, do_sample=True, tokens_per_batch=10**6)
    said = generate(model, tokenizer, ["w1 w2"] * 4000, settings).texts
    with torch.no_grad():
        expected = model(torch.tensor([tokenizer("w1 w2")["input_ids"]])).logits[0, -1].softmax(-1)
    for token in expected[4:].topk(3).indices.add(4).tolist():
        share = said.count(tokenizer.decode([token])) / len(said)
        assert share == pytest.approx(float(expected[token]), abs=0.04)


def test_sampling_may_draw_any_token(model: Any, tokenizer: Any) -> None:
    settings = Generation(max_new_tokens=1, do_sample=True, temperature=1e6, tokens_per_batch=10**6)
    # transformers would draw from the likeliest 50 unless it is told otherwise.
    assert len(set(generate(model, tokenizer, ["w1 w2"] * 2000, settings).texts)) > 55


def test_a_long_prompt_loses_its_beginning_but_not_its_bos(tokenizer: Any) -> None:
    model = make_model(positions=16)
    prompts = [" ".join(f"w{(7 * i) % 40}" for i in range(30)), "w1 w2"]
    expected = [plain_greedy(model, tokenizer, prompt, 6, longest=16) for prompt in prompts]
    assert generate(model, tokenizer, prompts, SIX).texts == expected
    with pytest.raises(InputError, match="this model takes 16 tokens"):
        generate(model, tokenizer, prompts, Generation(max_new_tokens=16))


def test_a_tokenizer_without_a_pad_token_is_left_as_it_is(model: Any, tokenizer: Any) -> None:
    bare = make_tokenizer(pad=False)
    state = bare.padding_side, bare.truncation_side
    # To it <pad> is a word like any other, and this model says it.
    said = [
        " ".join(word for word in text.split() if word != "<pad>") for text in generate(model, bare, PROMPTS, SIX).texts
    ]
    assert said == generate(model, tokenizer, PROMPTS, SIX).texts
    assert bare.pad_token is None
    assert (bare.padding_side, bare.truncation_side) == state


def test_stop_texts_end_a_continuation_and_are_left_out(model: Any, tokenizer: Any) -> None:
    free = generate(model, tokenizer, PROMPTS, SIX).texts
    longest = max(free, key=len).split()
    stop = [" ".join(longest[2:4]), longest[-1]]
    stopped = generate(model, tokenizer, PROMPTS, Generation(max_new_tokens=6, stop=stop)).texts
    assert stopped == [text[: min(text.find(end) if end in text else len(text) for end in stop)] for text in free]
    assert stopped != free


def test_chat_puts_the_prompt_into_the_template(model: Any, tokenizer: Any) -> None:
    with pytest.raises(InputError, match="no chat template"):
        generate(model, tokenizer, ["w1"], Generation(chat=True))
    tokenizer.chat_template = (
        "{% for m in messages %}<s> w10 {{ m['content'] }}{% endfor %}{% if add_generation_prompt %} w11{% endif %}"
    )
    said = generate(model, tokenizer, ["w1", "w2 w3"], Generation(max_new_tokens=6, chat=True)).texts
    assert said == [plain_greedy(model, tokenizer, f"w10 {prompt} w11", 6) for prompt in ("w1", "w2 w3")]


def test_an_empty_prompt_is_continued_from_the_start_token(model: Any, tokenizer: Any) -> None:
    assert generate(model, tokenizer, [""], SIX).texts == [plain_greedy(model, tokenizer, "", 6)]


def test_a_model_in_training_generates_without_dropout_and_goes_back_to_training(model: Any, tokenizer: Any) -> None:
    expected = generate(model, tokenizer, PROMPTS, SIX).texts
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.9
    model.train()
    assert generate(model, tokenizer, PROMPTS, SIX).texts == expected
    assert model.training


def test_memory_that_runs_out_halves_the_budget_and_later_runs_begin_there(model: Any, tokenizer: Any) -> None:
    expected = generate(model, tokenizer, PROMPTS, SIX)
    assert expected.batches == {"work": "generation", "tokens_per_batch": 8192, "halvings": 0}
    small, asked = with_little_memory(model, 20)
    generated = generate(small, tokenizer, PROMPTS, SIX)
    assert generated.texts == expected.texts
    # 8 prompts of at most 7 tokens: 8 x 7; with 6 new ones 8 x 13 are too many, so 64, of which 4 x 13; and again 32.
    assert [tokens for tokens in asked if tokens > 20] == [56, 28]
    assert generated.batches == {"work": "generation", "tokens_per_batch": 32, "halvings": 2}

    asked.clear()
    again = generate(small, tokenizer, PROMPTS, SIX)
    assert again.texts == expected.texts
    assert max(asked) <= 20
    assert again.batches == {"work": "generation", "tokens_per_batch": 32, "halvings": 0}
    # Another model of the same kind has learned nothing from it.
    assert generate(model, tokenizer, PROMPTS, SIX).batches == expected.batches


def test_a_prompt_that_does_not_fit_alone_raises(model: Any, tokenizer: Any) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        generate(with_little_memory(model, 3)[0], tokenizer, PROMPTS, SIX)


@pytest.mark.parametrize(
    "wrong", [{"max_new_tokens": 0}, {"tokens_per_batch": 0}, {"temperature": 0.0}, {"top_p": 1.5}, {"stop": [""]}]
)
def test_settings_that_can_not_be_used_are_refused(model: Any, tokenizer: Any, wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Generation(**wrong).check()
    with pytest.raises(InputError, match=next(iter(wrong))):
        generate(model, tokenizer, PROMPTS, Generation(**wrong))


def test_only_what_can_change_the_texts_is_in_the_identity() -> None:
    assert Generation(temperature=0.5, seed=3).identity() == Generation().identity()
    assert Generation(do_sample=True, seed=3).identity() != Generation(do_sample=True).identity()
    assert Generation(tokens_per_batch=100).identity() != Generation().identity()


def test_no_prompts_give_no_texts(model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    assert generate(model, tokenizer, [], SIX).texts == []
