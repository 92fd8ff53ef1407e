"""How far an edit moved a model, against distributions that are computed one prompt at a time and whole."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_metrics import assert_named_beforehand
from scipy.stats import entropy

from evaluation.continuations import Continuations
from evaluation.divergence import Divergence
from evaluation.generation import Generation, generate
from evaluation.refusal import Refusal
from surgery.errors import InputError

from .conftest import make_model, make_tokenizer, with_little_memory

PROMPTS = [f"w{i} w{(7 * i) % 60} w{(3 * i + 1) % 60}" for i in range(26)]
TOKENS = 8


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "harmless.txt"
    path.write_text("\n".join(PROMPTS))
    return path


def divergence(file: Path, kept: int = 256, **generation: Any) -> Divergence:
    return Divergence(Continuations(file, generation=Generation(max_new_tokens=TOKENS, **generation)), kept)


def moved(model: Any, size: float) -> Any:
    """The same model with other gates."""
    other = make_model()
    other.load_state_dict(model.state_dict())
    torch.manual_seed(5)
    for layer in other.model.layers:
        layer.mlp.gate_proj.weight.data += size * torch.randn_like(layer.mlp.gate_proj.weight)
    return other


def directly(base: Any, edited: Any, tokenizer: Any) -> dict[str, dict[str, float]]:
    """{prompt: {metric: KL}} by scipy, from whole distributions, without batches."""
    found = {}
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        whole = base.generate(ids, max_new_tokens=TOKENS, do_sample=False, pad_token_id=0)
        with torch.no_grad():
            p, q = (
                model(whole).logits[0, ids.shape[1] - 1 : -1].double().softmax(-1).numpy() for model in (base, edited)
            )
        each = entropy(p, q, axis=1)
        found[prompt] = {"divergence/kl": float(each.mean()), "divergence/kl_first": float(each[0])}
    return found


def scores(measurements: Any) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for one in measurements:
        for prompt, score in zip(one.inputs, one.scores, strict=True):
            found.setdefault(prompt, {})[one.name] = float(score)
    return found


@pytest.mark.parametrize("budget", [1, 8192])
def test_it_is_the_kl_of_whole_distributions_at_each_token_of_the_bases_answer(
    model: Any, tokenizer: Any, file: Path, tmp_path: Path, budget: int
) -> None:
    evaluator, edited = divergence(file, tokens_per_batch=budget), moved(model, 0.05)
    evaluator.check()
    base = evaluator.keep(model, tokenizer, tmp_path)
    measured = evaluator.measure_against(tmp_path, edited, tokenizer)
    assert_named_beforehand(evaluator, [one.name for one in measured])
    expected, found = directly(model, edited, tokenizer), scores(measured)
    assert set(found) == set(PROMPTS)
    for prompt in PROMPTS:
        assert found[prompt] == pytest.approx(expected[prompt], rel=2e-4, abs=1e-6)
    assert min(found[prompt]["divergence/kl"] for prompt in PROMPTS) > 1e-3
    assert [(one.name, one.half) for one in measured] == [(one.name, one.half) for one in base]
    assert {one.half for one in measured} == {"report", "selection"}
    assert all((one.scores == 0).all() for one in base)
    answers = dict(zip(PROMPTS, generate(model, tokenizer, PROMPTS, evaluator.answers.generation).texts, strict=True))
    for one in measured:
        assert one.outputs == tuple(answers[prompt] for prompt in one.inputs or ())


def test_the_likeliest_tokens_and_one_bin_are_a_lower_bound_within_two_percent(
    model: Any, tokenizer: Any, file: Path, tmp_path: Path
) -> None:
    edited = moved(model, 0.05)
    expected = directly(model, edited, tokenizer)
    whole = np.mean([one["divergence/kl"] for one in expected.values()])
    sums = {}
    for kept in (1, 4, 16, 48):
        (folder := tmp_path / str(kept)).mkdir()
        evaluator = divergence(file, kept)
        evaluator.keep(model, tokenizer, folder)
        found = scores(evaluator.measure_against(folder, edited, tokenizer))
        assert all(found[p]["divergence/kl"] <= expected[p]["divergence/kl"] * (1 + 1e-4) + 1e-6 for p in PROMPTS)
        sums[kept] = np.mean([one["divergence/kl"] for one in found.values()])
    assert sums[1] < sums[4] < sums[16] <= sums[48] * (1 + 1e-6)
    assert sums[48] == pytest.approx(whole, rel=0.02)
    assert sums[1] < 0.98 * whole


def test_what_is_kept_of_equal_answers_is_an_equal_file_that_others_may_read(
    model: Any, tokenizer: Any, file: Path, tmp_path: Path
) -> None:
    kept = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        divergence(file).keep(model, tokenizer, tmp_path / name)
        [written] = (tmp_path / name).iterdir()
        assert written.stat().st_mode == file.stat().st_mode
        kept.append(written.read_bytes())
    assert kept[0] == kept[1]


def test_an_unchanged_model_did_not_move_at_all(model: Any, tokenizer: Any, file: Path, tmp_path: Path) -> None:
    evaluator = divergence(file, kept=4)
    evaluator.keep(model, tokenizer, tmp_path)
    assert all((one.scores == 0).all() for one in evaluator.measure_against(tmp_path, model, tokenizer))


def test_an_answer_ends_with_the_token_that_ends_it(tokenizer: Any, file: Path, tmp_path: Path) -> None:
    model = make_model()
    ids = tokenizer(PROMPTS[0], return_tensors="pt")["input_ids"]
    first, second = model.generate(ids, max_new_tokens=2, do_sample=False, pad_token_id=0)[0, -2:].tolist()
    assert first != second
    model.generation_config.eos_token_id = [2, second]
    evaluator, edited = divergence(file), moved(model, 0.05)
    evaluator.keep(model, tokenizer, tmp_path)
    with torch.no_grad():
        row = torch.cat([ids, torch.tensor([[first]])], 1)
        p, q = (one(row).logits[0, -2:].double().softmax(-1).numpy() for one in (model, edited))
    found = scores(evaluator.measure_against(tmp_path, edited, tokenizer))[PROMPTS[0]]
    assert found["divergence/kl"] == pytest.approx(float(entropy(p, q, axis=1).mean()), rel=2e-4)


def test_a_first_look_is_at_a_part_of_the_same_samples(model: Any, tokenizer: Any, file: Path, tmp_path: Path) -> None:
    evaluator, edited = divergence(file), moved(model, 0.05)
    evaluator.keep(model, tokenizer, tmp_path)
    whole = {(one.name, one.half): one for one in evaluator.measure_against(tmp_path, edited, tokenizer)}
    first = evaluator.first_look()
    assert first is not None
    look = first.measure_against(tmp_path, edited, tokenizer)
    assert {one.half for one in look} == {"selection"}
    for one in look:
        same = whole[one.name, one.half].only(one.sample_ids)
        assert len(one.scores) < whole[one.name, one.half].n
        np.testing.assert_allclose(one.scores, same.scores, rtol=1e-4)
    report = Divergence(replace(evaluator.answers, half="report"))
    assert report.first_look() is None


def test_less_memory_changes_no_number(model: Any, tokenizer: Any, file: Path, tmp_path: Path) -> None:
    evaluator, edited = divergence(file), moved(model, 0.05)
    evaluator.keep(model, tokenizer, tmp_path)
    expected = scores(evaluator.measure_against(tmp_path, edited, tokenizer))
    small, asked = with_little_memory(edited, 60)
    found = scores(evaluator.measure_against(tmp_path, small, tokenizer))
    assert max(asked) > 60
    for prompt in PROMPTS:
        assert found[prompt] == pytest.approx(expected[prompt], rel=1e-3, abs=1e-6)


def test_what_can_not_be_measured_is_told_before_a_model_is_loaded(file: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.txt"
    few.write_text("\n".join(PROMPTS[:19]))
    with pytest.raises(InputError, match=r"few\.txt gives 19 prompts; at least 20 are needed"):
        divergence(few).check()
    with pytest.raises(InputError, match=r"gives 12 prompts \(the limit is 12\); at least 20"):
        Divergence(replace(divergence(file).answers, limit=12)).check()
    with pytest.raises(InputError, match="greedy answers"):
        divergence(file, do_sample=True).check()
    with pytest.raises(InputError, match="greedy answers"):
        Divergence(replace(divergence(file).answers, scorers={"refusal": Refusal()})).check()
    with pytest.raises(InputError, match="keeps 0 tokens"):
        divergence(file, 0).check()
    long = Divergence(Continuations(file, generation=Generation(max_new_tokens=64)))
    long.check()
    with pytest.raises(InputError, match="max_new_tokens=64 leaves no room for a prompt: this model takes 64 tokens"):
        long.check_prompts(make_model(), make_tokenizer())


def test_other_prompts_tokens_and_bins_are_another_protocol(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("\n".join(PROMPTS[:22]))
    whole = divergence(file)
    identities = [divergence(other), divergence(file, 128), divergence(file, chat=True), whole]
    assert len({str(one.identity()) for one in identities}) == 4
    with pytest.raises(InputError, match="call keep on the base"):
        whole.measure(make_model(), make_tokenizer())
