"""Divergence and over-refusal as metrics of a cell: stored with the base, chosen by, searched for, or refused."""

import csv
from pathlib import Path

import pytest

QUESTION = "{a} said to {b} : is {c} kind"


@pytest.fixture
def harmless(tmp_path: Path) -> Path:
    names = ("ann", "bob", "cid", "dee")
    path = tmp_path / "harmless.txt"
    path.write_text("\n".join(QUESTION.format(a=a, b=b, c=c) for a in names for b in names for c in names[:2]))
    return path


@pytest.fixture
def asked(arguments: list[str], harmless: Path) -> list[str]:
    return [*arguments, f"evaluation.harmless_prompts={harmless}", "evaluation.divergence_tokens=6", "top_k=20"]


def test_it_grows_with_the_edit_and_the_bases_distributions_are_stored_once(
    surgery, asked: list[str], tmp_path: Path, results
) -> None:
    ran = surgery("-m", *asked, "alpha=0.5,4", f"evaluation.overrefusal_prompts={tmp_path / 'harmless.txt'}")
    assert ran.code == 0, ran.err
    cells = sorted(results().values(), key=lambda cell: cell["keys"]["alpha"])
    for name in ("divergence/kl", "divergence/kl_first", "selection/divergence/kl"):
        small, large = (cell["metrics"][name] for cell in cells)
        assert 0 < small["edited"] < large["edited"]
        assert small["base"] == large["base"] == 0
        assert large["ci95"][0] <= large["delta"] <= large["ci95"][1]
        assert large["n"] == 16
    assert cells[0]["metrics"]["jailbreak/overrefusal_rate"]["n"] == 16
    assert "divergence/kl" in ran.out
    assert len(list((tmp_path / "outputs" / "store" / "base").glob("*/distributions.safetensors"))) == 1
    with next((tmp_path / "outputs" / "runs").glob("*/results.csv")).open() as file:
        rows = list(csv.DictReader(file))
    assert {row["divergence/kl/n"] for row in rows} == {"16"}


def test_the_choice_can_be_held_to_it(surgery, asked: list[str], results) -> None:
    rule = ("evaluation.choose.minimize=perplexity/story", "evaluation.choose.where=['divergence/kl <= 0']")
    ran = surgery("-m", *asked, "alpha=2,3", *rule)
    assert ran.code == 0, ran.err
    assert "no cell qualifies for: lowest perplexity/story with divergence/kl <= 0" in " ".join(ran.out.split())


@pytest.mark.slow
def test_a_search_can_be_after_it(surgery, asked: list[str], results) -> None:
    ran = surgery(
        "-m",
        *asked,
        "hydra/sweeper=optuna",
        "hydra.sweeper.n_trials=3",
        "hydra.sweeper.directions={divergence/kl: minimize, probe/loss_avoided: maximize}",
        "alpha=interval(0.5,4)",
    )
    assert ran.code == 0, ran.err
    assert len(results()) == 3
    assert "divergence/kl" in ran.out


def test_what_can_not_be_measured_is_one_line_before_a_model_is_loaded(
    surgery, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.run.workbench.load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    few = tmp_path / "few.txt"
    few.write_text("\n".join(f"ann is kind {i}" for i in range(19)))
    for key in ("harmless_prompts", "overrefusal_prompts"):
        ran = surgery(*asked, f"evaluation.{key}={few}")
        assert ran.code == 1
        assert ran.err.strip().endswith(
            "few.txt gives 19 prompts; at least 20 are needed, half of them to choose by and half to report"
        )
    ran = surgery(*asked, "evaluation.divergence_tokens=64")
    assert ran.code == 1
    [line] = ran.err.splitlines()
    assert "max_new_tokens=64 leaves no room for a prompt: this model takes 64 tokens" in line


def test_without_its_keys_nothing_of_it_is_in_the_protocol(surgery, arguments: list[str], results) -> None:
    ran = surgery(*arguments, "top_k=20")
    assert ran.code == 0, ran.err
    [cell] = results().values()
    assert not [name for name in cell["metrics"] if "divergence" in name or "overrefusal" in name]
