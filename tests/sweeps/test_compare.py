"""`sweeps compare A B`: cells with equal keys side by side, paired by sample."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import binomtest

from evaluation.measurements.measurement import Measurement
from sweeps.records.metrics_of import metrics_of
from sweeps.records.record import CONFIG, SAMPLES, Record
from sweeps.records.samples import write_samples

IDS = tuple(f"s{i}" for i in range(50))
BASE = np.arange(50) % 2 * 1.0
TOKENS = np.linspace(5, 40, 50)


def rates(changed: int) -> np.ndarray:
    """The base's scores with the first `changed` ones turned to 0."""
    found = BASE.copy()
    found[np.flatnonzero(found)[:changed]] = 0
    return found


def cell(
    sweep: str, alpha: float, changed: int, ids=IDS, protocol: str = "p", model: str = "tiny", **evaluation: Any
) -> Record:
    """A finished cell as a run leaves it."""
    losses = TOKENS * 2.0
    kinds = {"statistic": "perplexity", "weights": TOKENS}
    base = [Measurement("rate", "report", ids, BASE), Measurement("perplexity/x", "report", ids, losses, **kinds)]
    edited = [
        Measurement("rate", "report", ids, rates(changed)),
        Measurement("perplexity/x", "report", ids, losses * (1 + changed / 100), **kinds),
    ]
    name = f"{sweep}{alpha}{protocol}".ljust(12, "0")
    folder = Path("outputs/runs") / sweep / name
    folder.mkdir(parents=True)
    write_samples(folder / SAMPLES, base, edited)
    if evaluation:
        (folder / CONFIG).write_text(yaml.safe_dump({"evaluation": evaluation}))
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


def test_other_samples_are_not_paired(sweeps) -> None:
    one = cell("a", 1.0, 3)
    cell("b", 1.0, 4, ids=tuple(f"t{i}" for i in range(50)))
    rows = compared(sweeps, "-m", "rate").loc["rate", one.cell]
    assert rows["unpaired"] == "other samples"
    assert np.isnan(rows["ci_low"])
    assert rows["a/ci_low"] <= -3 / 50 <= rows["a/ci_high"]


MEASURED = {"rate": {"limit": 200, "path": "/a/prompts.txt"}, "perplexity": {"window": 8}}
ELSEWHERE = {"rate": {"limit": None, "path": "/b/prompts.txt"}, "perplexity": None, "extra": {"window": 8}}


def test_sweeps_measured_differently_are_refused_with_what_differs(sweeps) -> None:
    cell("a", 1.0, 3, limit=200, measurements=MEASURED, choose={"minimize": "rate"})
    cell("b", 1.0, 4, protocol="q", limit=None, measurements=ELSEWHERE, choose={"maximize": "rate"})
    ran = sweeps("compare", "a", "b", "--csv", "rows.csv")
    assert (ran.code, ran.out) == (1, "")
    assert "evaluation.limit is 200 in a and null in b" in ran.err
    assert "perplexity is measured in a alone" in ran.err
    assert "run the cells of one again with the evaluation of the other" in ran.err
    # What is filled in from a key is told by that key; how a cell is chosen is no part of how it is measured.
    assert "measurements.rate.limit" not in ran.err
    assert "choose" not in ran.err
    assert not Path("rows.csv").exists()


def test_what_can_not_be_told_from_the_configs_is_said_to_be(sweeps) -> None:
    cell("a", 1.0, 3), cell("b", 1.0, 3, protocol="q")
    assert "it is unclear what differs" in sweeps("compare", "a", "b").err
    cell("c", 1.0, 3, limit=1), cell("d", 1.0, 3, protocol="q", limit=1)
    assert "a file, a task or a model that was read holds something else" in sweeps("compare", "c", "d").err


def test_pairs_measured_alike_are_shown_and_the_others_left_out_by_name(sweeps) -> None:
    one = cell("a", 1.0, 3, limit=5)
    two = cell("a", 2.0, 5, limit=5)
    cell("b", 1.0, 13, limit=5)
    other = cell("b", 2.0, 15, protocol="q", limit=6)
    ran = sweeps("compare", "a", "b", "--csv", "rows.csv", "-m", "rate")
    assert ran.code == 0, ran.err
    assert "1 of 2 pairs with equal keys are left out, since each was measured in two ways" in ran.out
    assert f"(evaluation.limit is 5 in a and 6 in b): {two.cell} and {other.cell}" in ran.out
    assert list(pd.read_csv("rows.csv")["cell_a"]) == [one.cell]
    assert "without a counterpart" not in ran.out


def test_cells_of_two_protocols_are_paired_and_chosen_each_with_its_own(sweeps) -> None:
    rule = {"choose": {"minimize": "rate"}}
    for sweep, more in (("a", 0), ("b", 1)):
        for alpha in (1.0, 2.0):
            cell(sweep, alpha, int(3 * alpha) + more, limit=5, **rule)
            cell(sweep, alpha, int(8 * alpha) + more, protocol="q", limit=6, **rule)
    ran = sweeps("compare", "a", "b", "--csv", "rows.csv", "-m", "rate")
    assert ran.code == 0, ran.err
    rows = pd.read_csv("rows.csv")
    assert set(rows["protocol"]) == {"p", "q"}
    assert list(rows["difference"]) == pytest.approx([-1 / 50] * 4)
    for protocol in "pq":
        chosen = "chosen on all samples, since it has no selection half"
        assert f"a, measured as {protocol}: {chosen}: a2.0{protocol}" in ran.out
        assert f"cells with equal keys, measured as {protocol}" in ran.out


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
    assert "no cell measured beauty; what was measured is " in sweeps("compare", "a", "b", "-m", "beauty").err
