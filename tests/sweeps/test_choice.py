import pytest

from surgery import InputError
from sweeps.choice import Choice, Condition


def metric(base: float, edited: float) -> dict:
    return {"base": base, "edited": edited, "delta": edited - base, "ci95": [None, None], "n": 10}


CELLS = [
    ("a", {"selection/toxic": metric(0.8, 0.3), "toxic": metric(0.8, 0.0), "ability": metric(1.0, 0.99)}),
    ("b", {"selection/toxic": metric(0.8, 0.2), "toxic": metric(0.8, 0.9), "ability": metric(1.0, 0.98)}),
    ("c", {"selection/toxic": metric(0.8, 0.1), "toxic": metric(0.8, 0.1), "ability": metric(1.0, 0.5)}),
]


def test_the_choice_looks_at_the_selection_half_and_never_at_the_report_half() -> None:
    rule = Choice.parse({"minimize": "toxic", "where": ["ability/delta >= -0.03"]})
    assert rule.pick(CELLS) == "b"


def test_conditions_hold_on_the_selection_half_where_there_is_one() -> None:
    rule = Choice.parse({"maximize": "ability", "where": ["toxic <= 0.25"]})
    assert rule.pick(CELLS) == "b"


def test_no_cell_is_chosen_when_none_qualifies_or_nothing_was_measured() -> None:
    assert Choice.parse({"minimize": "toxic", "where": ["ability/ratio >= 0.999"]}).pick(CELLS) is None
    assert Choice.parse({"minimize": "unmeasured"}).pick(CELLS) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lm_eval/average/delta>=-0.02", Condition("lm_eval/average", "delta", ">=", -0.02)),
        ("perplexity/held/ratio <= 1.1", Condition("perplexity/held", "ratio", "<=", 1.1)),
        ("toxicity/toxic_rate/base > 0", Condition("toxicity/toxic_rate", "base", ">", 0.0)),
        ("toxicity/toxic_rate < 5e-2", Condition("toxicity/toxic_rate", "edited", "<", 0.05)),
    ],
)
def test_conditions_are_read_as_written(text: str, expected: Condition) -> None:
    assert Condition.parse(text) == expected
    assert Condition.parse(str(expected)) == expected


@pytest.mark.parametrize("text", ["toxic", "toxic = 3", ">= 3", "toxic >= low", "toxic >= 1.2.3"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no condition"):
        Condition.parse(text)


@pytest.mark.parametrize("rule", [{}, {"minimize": "a", "maximize": "b"}, {"minimize": "a", "when": []}])
def test_a_rule_has_one_goal_and_nothing_unknown(rule: dict) -> None:
    with pytest.raises(InputError, match="one of minimize and maximize"):
        Choice.parse(rule)
