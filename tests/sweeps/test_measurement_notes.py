"""What is said of the measurements before the first cell: how small a change they can show, and what they lack."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evaluation.continuations import Continuations
from evaluation.fluency import Fluency
from evaluation.perplexity import Perplexity
from surgery.errors import InputError
from sweeps.plan.evaluation_keys import require_types
from sweeps.plan.measured_names import named_by, unmeasured
from sweeps.plan.measurement_notes import measurement_notes
from sweeps.records.choice import Choice

PRICED = Choice.parse({"minimize": "toxicity/toxic_rate", "where": ["perplexity/x/ratio <= 1.1"]})


def prompts(folder: Path, count: int, **settings: Any) -> Continuations:
    path = folder / f"{count}.txt"
    path.write_text("\n".join(f"prompt {i}" for i in range(count)))
    return Continuations(path, scorers={"fluency": Fluency()}, **settings)


def notes(choice: Choice | None, texts: list[str] | None = None, **evaluators: Any) -> list[str]:
    cell: Any = SimpleNamespace(evaluators=evaluators, texts=SimpleNamespace(texts=texts or []))
    return measurement_notes([cell, cell], choice)


@pytest.mark.parametrize(("count", "half"), [(8, 4), (9, 4), (60, 30), (400, 200)])
def test_the_smallest_change_of_the_smaller_half_is_told(tmp_path, count: int, half: int) -> None:
    """Four prompts that turn pass the score test: 4 / sqrt(4) > 1.96 > 3 / sqrt(3)."""
    [told] = notes(PRICED, continuations=prompts(tmp_path, count))
    assert told.startswith(f"continuations: {half} prompts to choose by and {count - half} prompts to report")
    assert f"less than {4 / half:.3f} (4 of {half})" in told


@pytest.mark.parametrize("count", [2, 5, 7])
def test_a_half_that_can_show_nothing_is_told_with_how_many_prompts_can(tmp_path, count: int) -> None:
    [told] = notes(PRICED, continuations=prompts(tmp_path, count))
    assert "too few to show any change of a rate; give 8 at least" in told
    [alone] = notes(PRICED, continuations=prompts(tmp_path, 3, half="report"))
    assert "3 prompts to report: too few" in alone and "give 4 at least" in alone


def test_what_is_missing_to_choose_by_is_told(tmp_path) -> None:
    by_the_probe, unpriced = Choice.parse({"minimize": "probe/loss_other"}), Choice.parse({"minimize": "x/rate"})
    [told] = notes(by_the_probe, perplexity=Perplexity({}))
    assert "no prompts are continued" in told and "evaluation.prompts=FILE" in told
    _, told = notes(unpriced, continuations=prompts(tmp_path, 20))
    assert "whatever it costs" in told and "evaluation.text=FILE" in told
    assert notes(None, perplexity=Perplexity({})) == notes(PRICED, perplexity=Perplexity({})) == []


def test_prompts_among_the_texts_of_the_behavior_are_told(tmp_path) -> None:
    _, told = notes(PRICED, ["prompt 3 ", "prompt 4", "another"], continuations=prompts(tmp_path, 20))
    assert re.match("continuations: 2 of 20 prompts stand among the behavior's texts", told)


def test_a_rule_is_held_against_what_will_be_measured(tmp_path) -> None:
    evaluators: Any = {"perplexity": Perplexity({"wiki": "w.txt"}), "continuations": prompts(tmp_path, 8)}

    def said(**rule: Any) -> str | None:
        return unmeasured(named_by(Choice.parse(rule)), evaluators, probe_loss=True)

    assert (
        said(minimize="fluency/repetition", where=["perplexity/wiki/ratio <= 1.1", "probe/test_accuracy > 0"]) is None
    )
    wrong = said(minimize="fluency/repetitiveness")
    assert wrong is not None and wrong.startswith("evaluation.choose.minimize asks for fluency/repetitiveness")
    assert "what is measured is fluency/repetition, " in wrong
    wrong = said(maximize="fluency/repetition", where=["perplexity/wikki/ratio <= 1.1"])
    assert (
        wrong is not None
        and "evaluation.choose.where=[perplexity/wikki/ratio <= 1.1] asks for perplexity/wikki" in wrong
    )
    assert "what is measured is perplexity/wiki, " in wrong


def test_where_something_foreign_is_measured_it_may_be_anything() -> None:
    evaluators: Any = {"mine": SimpleNamespace()}
    assert unmeasured(named_by(Choice.parse({"minimize": "my/own"})), evaluators, probe_loss=True) is None


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("window", "lots", "evaluation.measurements.a.window=lots is not possible: it is a whole number"),
        ("window", 1.5, "evaluation.measurements.a.window=1.5 is not possible: it is a whole number"),
        ("tokens_per_batch", "all", "evaluation.tokens_per_batch=all is not possible: it is a whole number"),
        ("texts", "text.txt", "evaluation.measurements.a.texts=text.txt is not possible"),
    ],
)
def test_a_value_that_a_measurement_does_not_take_is_refused_with_its_key(key: str, value: Any, told: str) -> None:
    node = {"_target_": "evaluation.perplexity.Perplexity", "texts": {"x": "x.txt"}, "window": 8, "half": "report"}
    given = {"tokens_per_batch": "all", "measurements": {"a": node | {key: value}}}
    with pytest.raises(InputError, match=re.escape(told)):
        require_types(given)
    require_types({"measurements": {"a": node, "b": None, "c": {"_target_": "nobody.knows", "x": 1}}})
