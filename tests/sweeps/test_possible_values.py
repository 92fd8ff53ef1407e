"""An interval that is drawn ends where the metric itself does."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.report.drawn_sweep import DrawnSweep
from sweeps.results.possible_values import possible


@pytest.mark.parametrize(
    ("metric", "values", "limits"),
    [
        ("toxicity/toxic_rate", [0.0, 0.4], (0, 1)),
        ("selection/jailbreak/refusal_rate/hate", [1.0], (0, 1)),
        ("lm_eval/average", [0.9, None], (0, 1)),
        ("perplexity/wiki", [3.8, 5.0], (1, None)),
        ("selection/perplexity/wiki", [3.8], (1, None)),
        ("lm_eval/wikitext/word_perplexity", [0.99], (None, None)),
        ("probe/loss_avoided", [0.2, 0.3], (0, None)),
        ("divergence/kl", [0.2], (0, None)),
        ("fluency/length", [0.5, 0.6], (0, None)),
        # Somebody's own score, or a metric of lm-eval in percent.
        ("lm_eval/task/bleu", [31.0], (0, None)),
        ("mine/score", [-3.0, 0.5], (None, 1)),
    ],
)
def test_what_a_metric_can_be(metric: str, values: list[float | None], limits: Any) -> None:
    assert possible(metric, values) == limits


NUMBERS = st.floats(-50, 50, allow_nan=False)


@given(
    metric=st.sampled_from(["toxicity/toxic_rate", "perplexity/x", "probe/loss_other", "mine/score"]),
    base=NUMBERS, edited=NUMBERS, below=st.floats(0, 99), above=st.floats(0, 99),
)  # fmt: skip
def test_no_interval_is_drawn_beyond_what_is_possible(
    metric: str, base: float, edited: float, below: float, above: float
) -> None:
    change = edited - base
    row = {"metrics": {metric: [base, edited, change, change - below, change + above]}}
    low, high = possible(metric, [base, edited])
    drawn = DrawnSweep({"rows": [row], "possible": {metric: [low, high]}}).interval(row, metric)
    assert drawn is not None
    lowest, highest = (-math.inf if low is None else low), (math.inf if high is None else high)
    # Nothing that is not possible is drawn, and nothing is cut that is.
    assert drawn == pytest.approx((max(edited - below, lowest), min(edited + above, highest)), rel=1e-5, abs=1e-6)
