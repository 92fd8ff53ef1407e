"""RealToxicityPrompts' own protocol: the worst of k sampled continuations of each prompt."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_metrics import assert_named_beforehand
from numpy.typing import NDArray

from evaluation import Continuations, Fluency, Generation, Sampled, Toxicity, generate
from evaluation.sampled.worst_scores import worst_name
from surgery import InputError

PROMPTS = [f"w{i} w{i + 7} w{i + 3}" for i in range(12)]
DRAWN = Generation(max_new_tokens=6, do_sample=True, top_p=0.9, tokens_per_batch=80)
LIMIT = 0.7


def oddness(text: str) -> float:
    """The share of a text's words that end in an odd digit, in the place of a probability."""
    words = text.split()
    return sum(word[-1] in "13579" for word in words) / max(len(words), 1)


class Oddness:
    """A scorer of anyone's own."""

    def check(self) -> None: ...
    def prepare(self) -> None: ...
    def identity(self) -> dict[str, Any]:
        return {"kind": "oddness"}

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        assert len(prompts) == len(continuations)
        odd = np.array([oddness(text) for text in continuations])
        return {"odd/odd_rate": (odd >= LIMIT).astype(float), "odd/mean": odd}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(PROMPTS))
    return path


def sampled(file: Path, samples: int = 4, generation: Generation = DRAWN, **more: Any) -> Sampled:
    scorers = {"odd": Oddness(), "fluency": Fluency()}
    return Sampled(Continuations(file, generation=generation, scorers=scorers, **more), samples)


def by_prompt(measurements: Any) -> dict[str, dict[str, float]]:
    """{measured name: {prompt: its score}}, of both halves."""
    found: dict[str, dict[str, float]] = {}
    for one in measurements:
        found.setdefault(one.name, {}).update(zip(one.inputs, one.scores.tolist(), strict=True))
    return found


def test_the_worst_of_k_continuations_is_the_prompts_score(model: Any, tokenizer: Any, file: Path) -> None:
    measured = sampled(file).measure(model, tokenizer)
    rounds = [generate(model, tokenizer, PROMPTS, replace(DRAWN, seed=seed)).texts for seed in range(4)]
    assert len({tuple(one) for one in rounds}) == 4
    found = by_prompt(measured)
    assert_named_beforehand(sampled(file), found)
    lengths = [Fluency().score(PROMPTS, texts)["fluency/length"] for texts in rounds]
    for place, prompt in enumerate(PROMPTS):
        odd = [oddness(texts[place]) for texts in rounds]
        assert found["odd/expected_maximum"][prompt] == pytest.approx(max(odd))
        assert found["odd/any_odd"][prompt] == float(any(one >= LIMIT for one in odd))
        assert found["fluency/length"][prompt] == pytest.approx(sum(one[place] for one in lengths) / 4)
    assert set(found["odd/any_odd"].values()) == {0, 1}
    assert {"odd/odd_rate", "odd/mean"}.isdisjoint(found)
    for one in measured:
        if one.name == "odd/expected_maximum":
            assert one.outputs is not None
            assert [oddness(text) for text in one.outputs] == pytest.approx(one.scores.tolist())
        assert one.notes["samples"] == 4
        assert one.outputs is None or one.name.startswith("odd/")


def test_the_halves_are_those_of_greedy_continuations(model: Any, tokenizer: Any, file: Path) -> None:
    greedy = Continuations(file, generation=replace(DRAWN, do_sample=False), scorers={"odd": Oddness()})
    halves = {one.half: one.sample_ids for one in greedy.measure(model, tokenizer)}
    for one in sampled(file, 2).measure(model, tokenizer):
        assert one.sample_ids == halves[one.half]
    first = sampled(file, 2).first_look()
    assert first is not None and {one.half for one in first.measure(model, tokenizer)} == {"selection"}
    assert sampled(file, 2, half="report").first_look() is None


def test_a_seed_draws_the_same_twice_and_no_two_share_a_round(model: Any, tokenizer: Any, file: Path) -> None:
    once, again = (by_prompt(sampled(file).measure(model, tokenizer)) for _ in range(2))
    assert once == again
    words = {
        seed: {
            tuple(generate(model, tokenizer, PROMPTS, replace(DRAWN, seed=seed * 3 + turn)).texts) for turn in range(3)
        }
        for seed in (0, 1)
    }
    assert words[0].isdisjoint(words[1])
    other = by_prompt(sampled(file, 3, replace(DRAWN, seed=1)).measure(model, tokenizer))
    worst = {prompt: max(oddness(texts[i]) for texts in words[1]) for i, prompt in enumerate(PROMPTS)}
    assert other["odd/expected_maximum"] == pytest.approx(worst)


def test_detoxify_gives_the_names_of_the_papers_protocol(
    model: Any, tokenizer: Any, file: Path, detoxify_files: Any
) -> None:
    judge = Toxicity(checkpoint=detoxify_files.checkpoint, config=detoxify_files.config)
    evaluator = Sampled(Continuations(file, generation=DRAWN, scorers={"toxicity": judge}), 3)
    evaluator.check()
    found = by_prompt(evaluator.measure(model, tokenizer))
    rounds = [generate(model, tokenizer, PROMPTS, replace(DRAWN, seed=seed)).texts for seed in range(3)]
    worst = np.max([judge.score(PROMPTS, texts)["toxicity/mean"] for texts in rounds], axis=0)
    assert set(found) == {"toxicity/any_toxic", "toxicity/expected_maximum"}
    assert found["toxicity/expected_maximum"] == pytest.approx(dict(zip(PROMPTS, worst, strict=True)), rel=1e-5)


@pytest.mark.parametrize(
    ("score", "name"),
    [
        ("guard/wildguard/unsafe_rate", "guard/wildguard/any_unsafe"),
        ("guard/probe-texts/mean", "guard/probe-texts/expected_maximum"),
        ("guard/wildguard/unparsed", None),
        ("own_rate", "any_own"),
    ],
)
def test_a_rate_becomes_any_and_a_mean_the_expected_maximum(score: str, name: str | None) -> None:
    assert worst_name(score) == name


@pytest.mark.parametrize(
    ("samples", "settings", "sentence"),
    [
        (0, DRAWN, "samples=0 continuations a prompt are none"),
        (2, Generation(), "with do_sample=false all samples=2 continuations of a prompt would be the same"),
        (25, replace(DRAWN, temperature=0), "with temperature=0 all samples=25 continuations of a prompt would be"),
        (1, replace(DRAWN, top_p=0), "top_p=0 can't be sampled with"),
    ],
)
def test_what_can_not_be_sampled_is_said(file: Path, samples: int, settings: Generation, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        sampled(file, samples, settings).check()


def test_all_that_decides_what_is_drawn_is_in_the_protocol(file: Path) -> None:
    changes = ({"temperature": 0.7}, {"top_p": 0.5}, {"seed": 1}, {"max_new_tokens": 5})
    identities = [sampled(file, 4, replace(DRAWN, **change)).identity() for change in changes]
    identities += [sampled(file, 5).identity(), sampled(file).identity()]
    assert len({str(one) for one in identities}) == 6
    assert sampled(file).identity() == sampled(file).identity()


def test_greedy_continuations_one_a_prompt_are_themselves(model: Any, tokenizer: Any, file: Path) -> None:
    greedy = replace(DRAWN, do_sample=False)
    evaluator = sampled(file, 1, greedy)
    evaluator.check()
    texts = generate(model, tokenizer, PROMPTS, greedy).texts
    assert by_prompt(evaluator.measure(model, tokenizer))["odd/expected_maximum"] == pytest.approx(
        {prompt: oddness(text) for prompt, text in zip(PROMPTS, texts, strict=True)}
    )
