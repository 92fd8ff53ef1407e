from pathlib import Path

import numpy as np
import pytest

from evaluation.measurements.measurement import Measurement
from evaluation.measurements.measurement_files import from_table, load_measurements, save_measurements, to_table
from surgery.errors import InputError

IDS = ("a", "b", "c")
PLAIN = Measurement("x/mean", "report", IDS, np.array([0.0, 1.0, 0.5]))
WINDOWS = Measurement(
    "perplexity/x", "selection", IDS, np.array([3.0, 4.5, 1.1]), "perplexity", weights=np.array([2.0, 3.0, 1.0])
)
TASKS = Measurement(
    "lm_eval/average", "report", IDS, np.array([1.0, 0.0, 1.0]), "mean_of_means", strata=("p", "p", "q")
)


def test_a_mean_is_the_mean_of_the_scores() -> None:
    assert PLAIN.summary == 0.5
    assert PLAIN.n == 3


def test_perplexity_is_exp_of_the_mean_loss_of_a_token() -> None:
    assert WINDOWS.summary == pytest.approx(2.718281828459045 ** ((3.0 + 4.5 + 1.1) / 6.0))


def test_an_average_over_tasks_weighs_tasks_and_not_samples() -> None:
    assert TASKS.summary == pytest.approx((0.5 + 1.0) / 2)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"scores": np.array([0.0, np.nan, 1.0])}, "sample b is not finite"),
        ({"scores": np.array([0.0, np.inf, 1.0])}, "sample b is not finite"),
        ({"scores": np.array([0.0, 1.0])}, "2 scores, but 3 sample_ids"),
        ({"scores": np.zeros((3, 1))}, "shape"),
        ({"sample_ids": (), "scores": np.array([])}, "shape"),
        ({"sample_ids": ("a", "b", "a")}, "repeat"),
        ({"outputs": ("said",)}, "3 scores, but 1 outputs"),
        ({"statistic": "perplexity"}, "weights"),
        ({"weights": np.ones(3)}, "weights"),
        ({"statistic": "perplexity", "weights": np.array([1.0, 0.0, 1.0])}, "positive"),
        ({"statistic": "mean_of_means"}, "strata"),
        ({"half": "middle"}, "half"),
    ],
)
def test_what_can_not_be_a_measurement_is_refused(wrong: dict, says: str) -> None:
    fields = {"name": "x", "half": "report", "sample_ids": IDS, "scores": np.zeros(3)}
    with pytest.raises(ValueError, match=says):
        Measurement(**{**fields, **wrong})


def test_scores_can_not_be_changed_afterwards_by_anyone() -> None:
    given = np.array([0.0, 1.0, 1.0])
    measurement = Measurement("x", "report", IDS, given)
    given[0] = 9
    assert measurement.scores[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        measurement.scores[0] = 9


def test_a_file_gives_back_exactly_what_was_saved(tmp_path: Path) -> None:
    said = Measurement(
        "fluency/ä b",
        "selection",
        IDS,
        np.array([0.1 + 0.2, 1e-300, -7.0]),
        inputs=("", "zwei\nlines", "\u2028"),
        outputs=("x", "", "🙂"),
        notes={"halvings": 2, "deep": {"list": [1, None, "a"]}},
    )
    path = tmp_path / "measurements.parquet"
    # The same ids in several measurements, one of them twice, must not mix.
    given = [PLAIN, said, WINDOWS, TASKS, PLAIN]
    save_measurements(given, path)
    for before, after in zip(given, load_measurements(path), strict=True):
        assert before.scores.tobytes() == after.scores.tobytes()
        assert (before.weights is None) == (after.weights is None)
        assert before.weights is None or np.array_equal(before.weights, after.weights)
        for field in ("name", "half", "statistic", "sample_ids", "strata", "inputs", "outputs", "notes"):
            assert getattr(before, field) == getattr(after, field), field


def test_no_measurements_are_saved_as_none(tmp_path: Path) -> None:
    save_measurements([], tmp_path / "none.parquet")
    assert load_measurements(tmp_path / "none.parquet") == []


def test_files_that_hold_no_measurements_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not there"):
        load_measurements(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(InputError, match="parquet"):
        load_measurements(tmp_path / "text.parquet")
    with pytest.raises(InputError, match="no measurements"):
        from_table(to_table([PLAIN]).replace_schema_metadata(None))
