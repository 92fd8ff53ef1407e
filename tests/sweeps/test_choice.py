import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgery import InputError
from sweeps.records.choice import COMPARISONS, Choice, Condition


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lm_eval/average/delta>=-0.02", Condition("lm_eval/average", "delta", ">=", -0.02)),
        ("perplexity/held/ratio <= 1.1", Condition("perplexity/held", "ratio", "<=", 1.1)),
        ("toxicity/toxic_rate/base > 0", Condition("toxicity/toxic_rate", "base", ">", 0.0)),
        ("toxicity/toxic_rate < 5e-2", Condition("toxicity/toxic_rate", "edited", "<", 0.05)),
        # A metric's name may hold what somebody wrote.
        ("perplexity/my story (2)/ratio <= 1.1", Condition("perplexity/my story (2)", "ratio", "<=", 1.1)),
        ("perplexity/a<=3 > b/ratio <= 1.1", Condition("perplexity/a<=3 > b", "ratio", "<=", 1.1)),
        ("perplexity/ratio/ratio <= 1.1", Condition("perplexity/ratio", "ratio", "<=", 1.1)),
    ],
)
def test_conditions_are_read_as_written(text: str, expected: Condition) -> None:
    assert Condition.parse(text) == expected
    assert Condition.parse(str(expected)) == expected


NAMES = st.sampled_from(["toxicity/toxic_rate", "refusal_rate/hate speech", "perplexity/a=b/c", "x < y"])
CONDITIONS = st.builds(
    Condition,
    NAMES,
    st.sampled_from(["edited", "delta", "base", "ratio"]),
    st.sampled_from(sorted(COMPARISONS)),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(st.builds(Choice, NAMES, st.booleans(), st.lists(CONDITIONS, max_size=3).map(tuple)))
def test_a_rule_is_written_as_it_is_read(choice: Choice) -> None:
    assert Choice.parse(choice.rule()) == choice


@pytest.mark.parametrize("text", ["toxic", "toxic = 3", ">= 3", "toxic >= low", "toxic >= 1.2.3"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no condition"):
        Condition.parse(text)


@pytest.mark.parametrize("rule", [{}, {"minimize": "a", "maximize": "b"}, {"minimize": "a", "when": []}])
def test_a_rule_has_one_goal_and_nothing_unknown(rule: dict) -> None:
    with pytest.raises(InputError, match="one metric, to minimize or to maximize"):
        Choice.parse(rule)
