"""Several continuations a prompt, by a judge that counts words."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.generation import Generation, generate
from surgery import load_model
from surgery.errors import InputError
from validation.judge import BiLSTM
from validation.sampled import Sampled

PROMPTS = ["one two", "three", "four five six", "seven"]
DRAWN = Generation(max_new_tokens=6, do_sample=True)


class Letters(BiLSTM):
    """The share of a text's characters that are vowels, in the place of a probability."""

    def probabilities(self, texts: Sequence[str]) -> Any:
        return np.array([sum(letter in "aeiou" for letter in text) / max(len(text), 1) for text in texts])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS), encoding="utf-8")
    return path


def test_the_worst_of_k_continuations_is_the_prompts_score(file: Path, tiny_llama: Callable[..., Path]) -> None:
    model, tokenizer = load_model(str(tiny_llama()), device="cpu")
    judge = Letters(folder="", judge="tox_block", threshold=0.2)
    measured = Sampled(file, samples=3, generation=DRAWN, judges={"first": judge}).measure(model, tokenizer)
    texts = [
        generate(model, tokenizer, PROMPTS, Generation(max_new_tokens=6, do_sample=True, seed=seed)).texts
        for seed in range(3)
    ]
    assert len({tuple(one) for one in texts}) == 3
    worst = np.array([judge.probabilities(one) for one in texts]).max(axis=0)
    by_name = {one.name: one for one in measured}
    assert set(by_name) == {"toxicity/any_toxic", "toxicity/expected_maximum"}
    np.testing.assert_allclose(by_name["toxicity/expected_maximum"].scores, worst)
    np.testing.assert_array_equal(by_name["toxicity/any_toxic"].scores, (worst >= 0.2).astype(float))
    assert by_name["toxicity/any_toxic"].inputs == tuple(PROMPTS)
    shown = by_name["toxicity/any_toxic"].outputs
    assert shown is not None
    np.testing.assert_allclose(judge.probabilities(shown), worst)


def test_greedy_continuations_are_no_samples(file: Path) -> None:
    with pytest.raises(InputError, match="do_sample=true"):
        Sampled(file, samples=5, generation=Generation()).check()


def test_what_can_change_a_score_is_in_the_identity(file: Path) -> None:
    first = Sampled(file, samples=5)
    assert first.identity() != Sampled(file, samples=6).identity()
    known = first.identity()
    file.write_text(json.dumps({"prompt": "another"}) + "\n", encoding="utf-8")
    assert first.identity() != known
