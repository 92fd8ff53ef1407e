"""`sweeps compare A B`: cells with equal keys side by side, paired by sample."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from evaluation.measurement import Measurement
from sweeps.records import SAMPLES, Record
from sweeps.run_cell import metrics_of
from sweeps.samples import write_samples

IDS = tuple(f"s{i}" for i in range(50))
BASE = np.arange(50) % 2 * 1.0
TOKENS = np.linspace(5, 40, 50)


def rates(changed: int) -> np.ndarray:
    """The base's scores with the first `changed` ones turned to 0."""
    found = BASE.copy()
    found[np.flatnonzero(found)[:changed]] = 0
    return found


def cell(sweep: str, alpha: float, changed: int, ids=IDS, protocol: str = "p", model: str = "tiny") -> Record:
    """A finished cell as a run leaves it."""
    losses = TOKENS * 2.0
    kinds = {"statistic": "perplexity", "weights": TOKENS}
    base = [Measurement("rate", "report", ids, BASE), Measurement("perplexity/x", "report", ids, losses, **kinds)]
    edited = [
        Measurement("rate", "report", ids, rates(changed)),
        Measurement("perplexity/x", "report", ids, losses * (1 + changed / 100), **kinds),
    ]
    name = f"{sweep}{alpha}".ljust(12, "0")
    folder = Path("outputs/runs") / sweep / name
    folder.mkdir(parents=True)
    write_samples(folder / SAMPLES, base, edited)
    keys = {"model": model, "alpha": alpha}
    record = Record(name, "done", keys=keys, metrics=metrics_of(base, edited, 0), protocol=protocol)
    record.save(folder)
    return record


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def compared(sweeps, *arguments: str) -> pd.DataFrame:
    ran = sweeps("compare", "a", "b", "--csv", "rows.csv", *arguments)
    assert ran.code == 0, ran.err
    return pd.read_csv("rows.csv").set_index(["metric", "cell_a"])


def test_equal_cells_are_paired_by_sample_and_the_difference_is_of_the_two_edits(sweeps) -> None:
    one, two = cell("a", 1.0, 3), cell("a", 2.0, 5)
    cell("b", 1.0, 13), cell("b", 2.0, 5), cell("b", 9.0, 5)
    rows = compared(sweeps, "-m", "rate", "-m", "perplexity/x")
    first = rows.loc["rate", one.cell]
    assert (first["a"], first["b"], first["n"]) == (pytest.approx(22 / 50), pytest.approx(12 / 50), 50)
    assert first["difference"] == pytest.approx(-10 / 50)
    assert first["ci_low"] < -0.2 < first["ci_high"] < 0
    same = rows.loc["rate", two.cell]
    assert same["difference"] == 0
    assert same["ci_low"] < 0 < same["ci_high"]
    assert rows.loc["perplexity/x", one.cell]["difference"] == pytest.approx(np.exp(2 * 1.13) - np.exp(2 * 1.03))
    assert len(rows) == 4
    # The interval excludes no difference where the exact test says so too.
    assert binomtest(0, 10).pvalue < 0.05


def test_a_key_that_sets_the_sweeps_apart_as_a_whole_is_told_and_does_not_hinder(sweeps) -> None:
    cell("a", 1.0, 3), cell("b", 1.0, 4, model="other")
    ran = sweeps("compare", "a", "b", "-m", "rate")
    assert ran.code == 0, ran.err
    assert "model: tiny in a, other in b" in ran.out
    assert "paired, n=50" in ran.out


def test_other_samples_are_not_paired_and_other_protocols_are_warned_of(sweeps) -> None:
    one = cell("a", 1.0, 3)
    cell("b", 1.0, 4, ids=tuple(f"t{i}" for i in range(50)), protocol="q")
    rows = compared(sweeps, "-m", "rate").loc["rate", one.cell]
    assert rows["unpaired"] == "other samples"
    assert np.isnan(rows["ci_low"])
    assert rows["a/ci_low"] <= -3 / 50 <= rows["a/ci_high"]
    assert "MEASURED DIFFERENTLY: 1 of 1 pairs" in sweeps("compare", "a", "b", "-m", "rate").out


def test_samples_that_do_not_make_the_recorded_number_are_not_paired(sweeps) -> None:
    one, other = cell("a", 1.0, 3), cell("b", 1.0, 4)
    path = Path("outputs/runs/b") / other.cell / SAMPLES
    table = pd.read_parquet(path)
    table.loc[0, "edited_score"] = 1 - table.loc[0, "edited_score"]
    table.to_parquet(path, index=False)
    assert compared(sweeps, "-m", "rate").loc["rate", one.cell]["unpaired"] == "no samples kept"


def test_what_can_not_be_paired_is_said_in_one_line(sweeps) -> None:
    cell("a", 1.0, 3), cell("b", 2.0, 4), cell("b", 3.0, 4)
    ran = sweeps("compare", "a", "b", "-m", "rate")
    assert ran.code == 1
    assert "say with --on KEY" in ran.err
    assert "there are model, alpha" in sweeps("compare", "a", "b", "--on", "colour").err
    assert "no cell measured 'beauty'" in sweeps("compare", "a", "b", "-m", "beauty").err
