"""When a cell is hopeless, by hand-made metrics."""

import pytest

from sweeps.records.choice import Condition
from sweeps.records.metric import Metric
from sweeps.results.giving_up import Objective, Pruning, violations


def metric(base: float, edited: float, low: float, high: float) -> Metric:
    """Low and high are the ends of the change's interval."""
    return Metric("x", "report", base, edited, edited - base, low, high, n=100)


LOW = Objective("toxicity", lowest=True)
HIGH = Objective("ability", lowest=False)


def test_a_condition_is_broken_only_beyond_the_interval() -> None:
    # The change is -0.05, at best -0.02; or at best -0.035.
    near = {"ability": metric(0.9, 0.85, -0.08, -0.02)}
    far = {"ability": metric(0.9, 0.85, -0.065, -0.035)}
    rule = Pruning((LOW,), (Condition.parse("ability/delta >= -0.03"),))
    assert rule.reason(near) is None
    assert "breaks ability/delta >= -0.03 (-0.035 at best)" in str(rule.reason(far))


@pytest.mark.parametrize(
    ("condition", "broken"),
    [
        # edited is 2.0 to 2.4, base 2.0
        ("perplexity <= 1.9", True),
        ("perplexity <= 2.1", False),
        ("perplexity/ratio <= 0.99", True),
        ("perplexity/ratio <= 1.01", False),
        ("perplexity/ratio >= 1.21", True),
        ("perplexity/ratio >= 1.19", False),
        ("perplexity/base <= 1.9", True),
        ("perplexity/base >= 1.9", False),
        ("perplexity/delta > 0.4", True),
        ("perplexity/delta > 0.39", False),
    ],
)
def test_each_kind_of_condition_takes_the_end_that_suits_the_cell(condition: str, broken: bool) -> None:
    rule = Pruning((LOW,), (Condition.parse(condition),))
    assert (rule.reason({"perplexity": metric(2.0, 2.2, 0.0, 0.4)}) is not None) == broken


def test_the_selection_half_decides() -> None:
    rule = Pruning((LOW,), (Condition.parse("ability >= 0.5"),))
    assert rule.reason({"ability": metric(0.9, 0.1, -0.9, -0.7), "selection/ability": metric(0.9, 0.9, 0, 0)}) is None
    assert rule.reason({"ability": metric(0.9, 0.9, 0, 0), "selection/ability": metric(0.9, 0.1, -0.9, -0.7)})


def test_a_cell_is_dominated_only_where_a_rival_is_better_in_everything() -> None:
    ours = {"toxicity": metric(0.9, 0.5, -0.5, -0.3), "ability": metric(0.9, 0.7, -0.25, -0.15)}  # 0.4 and 0.75 at best
    for rival, dominated in (((0.39, 0.76), True), ((0.41, 0.76), False), ((0.39, 0.74), False), ((0.4, 0.75), False)):
        assert (Pruning((LOW, HIGH), (), (rival,)).reason(ours) is not None) == dominated
    assert Pruning((LOW, HIGH), ()).reason(ours) is None


def test_a_cell_is_too_dear_only_where_it_costs_more_than_each_price_even_at_its_best() -> None:
    stories, divergence = (Condition.parse(one) for one in ("story/ratio <= 1.15", "kl <= 0.3"))
    news = Condition.parse("news/ratio <= 1.15")
    rule = Pruning((), (), ceilings=((stories, news), (divergence,)))
    # Ratios at best: 1.2 and 1.1; the divergence at best: 0.4 and 0.2.
    dear, cheap = metric(10.0, 12.5, 2.0, 3.0), metric(10.0, 12.0, 1.0, 3.0)
    far, near = metric(0.0, 0.5, 0.4, 0.6), metric(0.0, 0.5, 0.2, 0.8)
    assert rule.gives_up
    assert rule.reason({"news": dear, "kl": far}) == (
        "it costs more than any price: it breaks news/ratio <= 1.15 (1.2 at best), kl <= 0.3 (0.4 at best)"
    )
    assert rule.reason({"story": cheap, "news": dear, "kl": far}) is not None
    assert rule.reason({"story": cheap, "news": cheap, "kl": far}) is None
    assert rule.reason({"story": dear, "news": dear, "kl": near}) is None
    assert rule.reason({"story": dear}) is None


def test_what_is_not_measured_yet_may_still_be_good() -> None:
    rule = Pruning((LOW, HIGH), (Condition.parse("length >= 5"),), ((0.0, 1.0),))
    assert rule.reason({"toxicity": metric(0.9, 0.9, -0.01, 0.01)}) is None


def test_violations_are_above_zero_exactly_where_a_condition_is_not_met() -> None:
    metrics = {"a": metric(1.0, 2.0, 1, 1)}
    for text, expected in (("a >= 2", 0), ("a >= 2.5", 0.5), ("a <= 1.5", 0.5), ("a <= 3", -1), ("gone >= 1", 0)):
        [(name, value)] = violations(metrics, [Condition.parse(text)]).items()
        assert name == str(Condition.parse(text))
        assert value == pytest.approx(expected)
    for text in ("a > 2", "a < 2"):
        [value] = violations(metrics, [Condition.parse(text)]).values()
        assert value > 0
