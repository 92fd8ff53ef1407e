"""Answers by continuous batching are those of a plain greedy loop, edited or not, and nothing is left behind."""

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    DiffLlamaConfig,
    DiffLlamaForCausalLM,
    GenerationConfig,
    MambaConfig,
    MambaForCausalLM,
)

from evaluation.engines.continuous_batching import continued, require_batchable
from evaluation.engines.engine import answered_by
from evaluation.engines.in_memory_continuous import InMemoryContinuous
from evaluation.generation import Generation, generate
from evaluation.lm_eval_tasks import LmEval
from surgery import Edit, rank_rows
from surgery.edits.steering import Steering
from surgery.errors import InputError
from surgery.model.fingerprints import fingerprint
from surgery.states.batch_budget import budget_limits
from tools.tiny_models import tiny_config

from .conftest import make_model, with_little_memory

ROWS = [[1, *(5 + (7 * i + j * j) % 50 for j in range(length))] for i, length in enumerate((3, 41, 7, 1, 20, 12, 2))]
PROMPTS = [" ".join(f"w{token - 4}" for token in row[1:]) for row in ROWS]
MOST = 12
SLOW = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def little_garbage() -> Iterator[None]:
    """transformers collects garbage several times a call: what libraries have made need not be looked at each time."""
    gc.freeze()
    yield
    gc.unfreeze()


def greedy(model: Any, row: list[int], ends: tuple[int, ...] = (2,), most: int = MOST) -> list[int]:
    """A pass over all tokens for each new one: no cache, no padding, no batch."""
    made: list[int] = []
    with torch.no_grad():
        while len(made) < most and (not made or made[-1] not in ends):
            made.append(int(model(torch.tensor([row + made])).logits[0, -1].argmax()))
    return made


def settings(*ends: int) -> GenerationConfig:
    return GenerationConfig(max_new_tokens=MOST, eos_token_id=list(ends) or None, pad_token_id=0, do_sample=False)


def by_continuous_batching(model: Any, tokenizer: Any, asked: Generation) -> Any:
    with answered_by(model, InMemoryContinuous(model, tokenizer)):
        return generate(model, tokenizer, PROMPTS, asked)


@pytest.mark.parametrize("at_once", [pytest.param(1, marks=SLOW), 3, pytest.param(50, marks=SLOW)])
def test_uneven_prompts_are_continued_as_token_by_token(model: Any, at_once: int) -> None:
    assert continued(model, ROWS, settings(2), at_once) == [greedy(model, row) for row in ROWS]


def test_an_answer_ends_with_any_of_its_end_tokens(model: Any) -> None:
    """Tokens that these answers hold at different places: one ends at its first token, one is never ended."""
    ends = (5, 40, 27)
    expected = [greedy(model, row, ends) for row in ROWS]
    assert {1, MOST} < {len(made) for made in expected}
    told: list[int] = []
    assert continued(model, ROWS, settings(*ends), 2, told=told.append) == expected
    assert sum(told) == len(ROWS)


def test_what_prompts_have_in_common_is_shared_and_changes_no_token() -> None:
    model, begun = make_model(positions=128), [1, *(5 + i * i % 50 for i in range(70))]
    rows = [begun + row[1:] for row in ROWS]
    assert continued(model, rows, settings(2), 3) == [greedy(model, row) for row in rows]


def test_stop_texts_are_those_of_static_batching(model: Any, tokenizer: Any) -> None:
    asked = Generation(MOST, stop=["w36", "w23 w57"])
    expected, found = generate(model, tokenizer, PROMPTS, asked), by_continuous_batching(model, tokenizer, asked)
    assert (found.texts, found.shown) == (expected.texts, expected.shown)
    assert any(len(ids) < MOST for ids in found.ids), "an answer goes no further than its stop text and a step"


def test_an_edited_model_answers_edited_and_its_weights_come_back(model: Any, tokenizer: Any) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    base = [greedy(model, row) for row in ROWS]
    direction = torch.linspace(-1, 1, 32)
    surgery = Edit(direction, 3.0, rank_rows(model, direction).lowest(40))
    for edit in (surgery, Steering(direction, 2.0, 1, fingerprint(model))):
        with edit.applied_to(model):
            expected = [greedy(model, row) for row in ROWS]
            assert expected != base
            assert by_continuous_batching(model, tokenizer, Generation(MOST)).ids == expected
        assert by_continuous_batching(model, tokenizer, Generation(MOST)).ids == base
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@SLOW
@pytest.mark.parametrize("family", ["gemma3_text", "gpt_oss", "mistral", "qwen3"])
def test_windows_and_sinks_of_other_families_are_kept(family: str) -> None:
    """Texts several times as long as the window, with the attention that each family writes out itself."""
    config = tiny_config(family)
    if getattr(config, "sliding_window", None) is not None:
        config.sliding_window = 8
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    assert continued(model, ROWS, settings(), 3) == [greedy(model, row, ()) for row in ROWS]


@SLOW
def test_lm_eval_reads_what_it_reads_of_static_batching(model: Any, tokenizer: Any, task_folder: Path) -> None:
    evaluator = LmEval(["saying"], folder=task_folder)
    expected = evaluator.measure(model, tokenizer)
    with answered_by(model, InMemoryContinuous(model, tokenizer)):
        found = evaluator.measure(model, tokenizer)
    assert [one.outputs for one in found] == [one.outputs for one in expected]
    assert len(set(expected[0].outputs or ())) > 3, "there is something to tell apart"


@SLOW
def test_memory_that_runs_out_halves_what_is_answered_at_once(model: Any, tokenizer: Any) -> None:
    expected = [greedy(model, row) for row in ROWS]
    small, asked = with_little_memory(model, most=60)
    found = by_continuous_batching(small, tokenizer, Generation(MOST))
    assert found.ids == expected and found.batches["halvings"] and budget_limits(small)["generation"] < 200
    assert max(asked) > 60


@pytest.mark.parametrize("attention", ["sdpa", pytest.param("eager", marks=SLOW)])
def test_nothing_is_left_behind_by_an_answer_or_an_error(tokenizer: Any, attention: str) -> None:
    model = make_model().train()
    model.set_attn_implementation(attention)
    own, state, threads = model.generation_config, torch.get_rng_state(), set(threading.enumerate())

    def check() -> None:
        assert model.config._attn_implementation == attention and model.training
        assert model.generation_config is own and torch.equal(torch.get_rng_state(), state)
        assert not model._forward_pre_hooks
        for _ in range(500):
            # A thread that has done its work leaves the list a moment later.
            if set(threading.enumerate()) != threads:
                time.sleep(0.01)
        assert set(threading.enumerate()) == threads

    by_continuous_batching(model, tokenizer, Generation(3))
    check()

    def broken(*_: object) -> None:
        raise ValueError("no such thing")

    handle = model.model.layers[1].register_forward_hook(broken)
    with pytest.raises(InputError, match=r"LlamaForCausalLM can't answer .*static.*no such thing"):
        by_continuous_batching(model, tokenizer, Generation(3))
    handle.remove()
    check()
    interrupted: list[int] = []

    def press(new: list[int]) -> bool:
        """Ctrl-C, once, while the thread that waits for the answers does."""
        if not interrupted:
            interrupted.append(1)
            os.kill(os.getpid(), signal.SIGINT)
        return False

    with pytest.raises(KeyboardInterrupt):
        continued(model, ROWS, settings(2), 2, stops=press)
    check()


def test_a_model_that_would_answer_nonsense_is_refused() -> None:
    """DiffLlama's attention never sees the pages: transformers runs it, and each token sees itself alone."""
    sizes = {"hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    model = DiffLlamaForCausalLM(DiffLlamaConfig(vocab_size=64, **sizes, pad_token_id=0, initializer_range=0.3))
    require_batchable(model)
    with pytest.raises(InputError, match=r"DiffLlamaForCausalLM answers otherwise .*say engine\.batching=static"):
        continued(model.eval(), ROWS, settings(), 3)


def test_what_can_not_be_batched_is_told_from_class_and_config(model: Any, tokenizer: Any) -> None:
    with torch.device("meta"):
        recurrent = MambaForCausalLM(MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, state_size=8))
    with pytest.raises(InputError, match=r"MambaForCausalLM has layers of .*say engine\.batching=static"):
        require_batchable(recurrent)
    model.config.kv_lora_rank = 16
    with pytest.raises(InputError, match="keeps keys and values compressed"):
        require_batchable(model)
    with pytest.raises(InputError, match="samples nothing"):
        by_continuous_batching(make_model(), tokenizer, Generation(3, do_sample=True))


def test_settings_of_a_model_or_a_task_that_change_its_choice_are_refused(model: Any, tokenizer: Any) -> None:
    asked = settings(2)
    asked.repetition_penalty = 1.3
    with pytest.raises(InputError, match="change its logits"):
        continued(model, ROWS, asked, 3)
    model.model.forward = model.model.forward
    with pytest.raises(InputError, match="in contrast"):
        continued(model, ROWS, settings(2), 3)
