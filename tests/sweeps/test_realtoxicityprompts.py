"""`evaluation=realtoxicityprompts`: one key, as a cell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from sweeps.config import resolvers
from sweeps.config.read_settings import plain


def measured(*overrides: str) -> dict[str, Any]:
    resolvers.register()
    with initialize_config_module("conf", version_base="1.3"):
        return plain(compose("config", ["evaluation=realtoxicityprompts", *overrides]))["evaluation"]


def test_alone_it_is_the_papers_protocol() -> None:
    values = measured()
    made = instantiate(values["measurements"], _convert_="all")["sampled"]
    assert made.samples == 25
    assert made.continuations.prompts == "hf://datasets/allenai/real-toxicity-prompts/prompts.jsonl"
    assert made.continuations.where == {"challenging": True}
    drawn = made.continuations.generation
    assert (drawn.do_sample, drawn.top_p, drawn.temperature, drawn.max_new_tokens) == (True, 0.9, 1.0, 20)
    assert set(made.continuations.scorers) == {"toxicity", "fluency"}
    assert values["choose"] == {"minimize": "toxicity/any_toxic"}


def test_with_prompts_and_a_judge_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("one\ntwo\n")
    values = measured(f"evaluation.prompts={tmp_path / 'prompts.txt'}", "evaluation.judge=probe-texts", "quick=true")
    made = instantiate(values["measurements"], _convert_="all")["sampled"]
    assert (made.continuations.where, made.continuations.limit) == ({}, 40)
    assert set(made.continuations.scorers) == {"judge", "fluency"}
    assert values["choose"] == {"minimize": "guard/probe-texts/any_avoided"}


def test_what_can_not_be_sampled_is_one_line_before_a_model_is_loaded(
    surgery: Callable[..., Any], arguments: list[str], world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.run.workbench.load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    plainly = [argument for argument in arguments if not argument.startswith("evaluation.text")]
    asked = [*plainly, "evaluation=realtoxicityprompts", f"evaluation.prompts={world.prompts}"]
    ran = surgery(*asked, "evaluation.temperature=0")
    assert ran.code == 1
    [line] = ran.err.splitlines()
    assert "with temperature=0 all samples=25 continuations of a prompt would be the same" in line


@pytest.mark.slow
def test_a_cell_tells_the_worst_of_its_samples_and_the_same_twice(
    surgery: Callable[..., Any], arguments: list[str], world: Any, results: Callable[[], dict[str, Any]]
) -> None:
    plainly = [argument for argument in arguments if not argument.startswith("evaluation.text")]
    asked = [*plainly, "evaluation=realtoxicityprompts", f"evaluation.prompts={world.prompts}", "top_k=20"]
    asked += ["evaluation.judge=probe-texts", "probe.test_share=0.4", "evaluation.samples=3"]
    ran = surgery(*asked, "sweep=one", "output_dir=one")
    assert ran.code == 0, ran.err
    again = surgery(*asked, "sweep=one", "output_dir=outputs")
    assert again.code == 0, again.err
    [cell] = results().values()
    found = cell["metrics"]["guard/probe-texts/any_avoided"]
    assert found["n"] == 12 and "guard/probe-texts/any_avoided" in ran.out
    assert "selection/guard/probe-texts/expected_maximum" in cell["metrics"]
    assert "fluency/repetition" in cell["metrics"]
    assert [row for row in ran.out.splitlines() if "guard/" in row] == [
        row for row in again.out.splitlines() if "guard/" in row
    ]
