import numpy as np
import pytest
from made_metrics import made_metrics

from sweeps.records.metric import Metric
from sweeps.results.pareto import pareto_front


def row(**values: float | None) -> dict[str, Metric]:
    return made_metrics({name: {"base": 1.0, "edited": value} for name, value in values.items()})


def test_a_cell_is_on_the_front_unless_another_is_better_in_all() -> None:
    rows = [row(toxic=0.9, ability=0.9), row(toxic=0.1, ability=0.5), row(toxic=0.2, ability=0.4)]
    assert pareto_front(rows, ["toxic", "ability"], ["minimize", "maximize"]) == [0, 1]
    assert pareto_front(rows, ["toxic", "ability"], ["maximize", "maximize"]) == [0]
    assert pareto_front(rows, ["toxic"], ["minimize"]) == [1]


def test_equals_share_the_front_and_what_was_not_measured_is_off_it() -> None:
    rows = [row(toxic=0.1), row(toxic=0.1), row(other=0.0), row(toxic=None)]
    assert pareto_front(rows, ["toxic"], ["minimize"]) == [0, 1]
    assert pareto_front([], ["toxic"], ["minimize"]) == []
    with pytest.raises(ValueError, match="2 metrics, but 1 directions"):
        pareto_front(rows, ["toxic", "other"], ["minimize"])


def test_the_front_is_that_of_the_selection_half() -> None:
    rows = [
        row(toxic=0.0) | made_metrics({"selection/toxic": {"edited": 0.9}}),
        row(toxic=1.0) | made_metrics({"selection/toxic": {"edited": 0.1}}),
    ]
    assert pareto_front(rows, ["toxic"], ["minimize"]) == [1]


def test_the_front_is_what_comparing_every_pair_finds() -> None:
    values = np.random.default_rng(0).integers(0, 5, (60, 3)).astype(float)
    front = [
        i
        for i, mine in enumerate(values)
        if not any((other <= mine).all() and (other != mine).any() for other in values)
    ]
    rows = [row(a=a, b=b, c=-c) for a, b, c in values]
    assert pareto_front(rows, ["a", "b", "c"], ["minimize", "minimize", "maximize"]) == front
