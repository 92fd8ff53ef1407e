"""`sweeps.load`: a sweep as a typed frame."""

import subprocess
import sys

import pandas as pd
import pytest

from surgery import InputError
from sweeps.records.data_frame import load
from sweeps.records.record import Record


@pytest.fixture
def grid(surgery, arguments, tmp_path):
    """Two cells that ended, and one that failed."""
    assert surgery("-m", *arguments, "top_k=8,4", "sweep=grid").code == 0
    Record("f" * 12, "failed", error="made to fail").save(tmp_path / "outputs/runs/grid" / ("f" * 12))
    return tmp_path / "outputs/runs/grid"


def test_the_frame_holds_what_results_csv_holds_with_types(grid) -> None:
    frame = load("grid")
    written = pd.read_csv(grid / "results.csv", index_col="cell")
    assert list(frame.columns) == list(written.columns)
    assert list(frame.index) == list(written.index)
    assert frame["top_k"].tolist() == [4, 8]
    for column in frame.columns:
        assert frame[column].isna().tolist() == written[column].isna().tolist()
        if not isinstance(written[column].iloc[0], str):
            assert frame[column].dropna().astype(float).tolist() == written[column].dropna().astype(float).tolist()
    assert frame["model"].tolist() == ["tiny", "tiny"]
    assert frame["perplexity/story"].dtype == "float64"
    assert frame["perplexity/story/n"].dtype == "Int64"


def test_a_sweep_that_is_not_there_is_refused_with_those_there_are(grid) -> None:
    with pytest.raises(InputError, match="there are grid"):
        load("gird")


def test_a_sweep_without_a_done_cell_is_refused(tmp_path) -> None:
    Record("a" * 12, "failed", error="made to fail").save(tmp_path / "runs/none" / ("a" * 12))
    with pytest.raises(InputError, match="no cell that is done"):
        load("none", tmp_path)


def test_importing_sweeps_fetches_no_pandas() -> None:
    code = "import sys, sweeps; assert 'pandas' not in sys.modules; from sweeps import load; print(load.__name__)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "load\n"
