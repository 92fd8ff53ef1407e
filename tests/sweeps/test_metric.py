"""A metric: what a record's file holds of it, what it is called, and which half of it cells are chosen on."""

import json
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgery.errors import InputError
from sweeps.records.metric import Metric, half_of, key_of, name_of, selected, value_of
from sweeps.records.record import CHECKSUM, RESULT, Record, table_text

NUMBERS = st.none() | st.floats(-10, 10)
METRICS = st.builds(
    Metric,
    st.sampled_from(["toxicity/toxic_rate", "perplexity/my story"]),
    st.sampled_from(["report", "selection"]),
    *[NUMBERS] * 6,
    st.none() | st.integers(1, 100),
)


@given(METRICS)
def test_it_is_read_as_it_was_written(metric: Metric) -> None:
    written = json.loads(json.dumps(metric.to_json()))
    assert list(written) == ["base", "edited", "delta", "ci95", "p", "n"]
    assert Metric.from_json(metric.key, written) == metric
    assert (name_of(metric.key), half_of(metric.key)) == (metric.name, metric.half)


def test_names_are_those_of_the_records_there_are() -> None:
    assert key_of("toxicity/mean", "report") == "toxicity/mean"
    assert key_of("toxicity/mean", "selection") == "selection/toxicity/mean"


def test_it_is_chosen_on_the_selection_half_where_it_has_one() -> None:
    told, chosen = Metric("rate", "report", 1.0, 0.5, -0.5), Metric("rate", "selection", 0.0, 0.25, 0.25)
    both = {metric.key: metric for metric in (told, chosen)}
    assert selected(both, "rate") is chosen
    assert selected({"rate": told}, "rate") is told
    assert selected(both, "other") is None
    assert value_of(both, "rate", "delta") == 0.25
    assert value_of(both, "rate", "ratio") is None  # of a base of 0
    assert value_of({"rate": told}, "rate", "ratio") == 0.5
    assert value_of({"rate": Metric("rate", base=1.0)}, "rate", "base") is None  # the edited model has no value


@pytest.mark.parametrize(
    ("low", "high", "p", "told"),
    [
        (-0.2, -0.1, None, True),
        (-0.2, 0.1, 0.01, False),
        (-0.1, -0.1, 0.5, False),
        (-0.1, -0.1, 0.01, True),
        (-0.1, -0.1, None, True),
        (None, None, None, True),
    ],
)
def test_an_interval_without_width_is_told_by_its_p(low: float, high: float, p: float, told: bool) -> None:
    assert Metric("rate", "report", 0.5, 0.4, -0.1, low, high, p).distinguishable == told


def written(folder: Path) -> dict[str, object]:
    return json.loads((folder / RESULT).read_text())


def test_a_record_of_before_there_was_a_p_is_read(tmp_path: Path) -> None:
    entry = {"base": 1.0, "edited": 0.5, "delta": -0.5, "ci95": [-0.6, -0.4], "n": 9}
    (tmp_path / RESULT).write_text(json.dumps({"cell": "a", "status": "done", "metrics": {"selection/x": entry}}))
    record = Record.load(tmp_path)
    assert record.metrics == {"selection/x": Metric("x", "selection", 1.0, 0.5, -0.5, -0.6, -0.4, None, 9)}
    header, row = table_text([record]).splitlines()
    assert "selection/x/p,selection/x/n" in header and row.endswith("1.0,-0.5,-0.6,-0.4,,9")


def test_what_is_not_finite_is_written_as_nothing(tmp_path: Path) -> None:
    Record("a", "done", metrics={"x": Metric("x", base=1.0, edited=inf, n=3)}).save(tmp_path)
    assert written(tmp_path)["metrics"] == {
        "x": {"base": 1.0, "edited": None, "delta": None, "ci95": [None, None], "p": None, "n": 3}
    }
    assert CHECKSUM in written(tmp_path)
    assert Record.load(tmp_path).metrics["x"].edited is None


def test_an_entry_that_is_no_metric_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / RESULT).write_text(json.dumps({"cell": "a", "status": "done", "metrics": {"x": {"base": 1.0}}}))
    with pytest.raises(InputError, match=r"can't be read as a record: the metric x has no edited"):
        Record.load(tmp_path)


def test_a_metric_stands_under_its_own_name() -> None:
    with pytest.raises(ValueError, match="the metric selection/x is filed under x"):
        Record("a", "done", metrics={"x": Metric("x", "selection")})
