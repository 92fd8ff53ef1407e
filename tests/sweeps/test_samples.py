"""`sweeps samples`: base beside edited, and nothing a model says is obeyed."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.measurements.measurement import Measurement
from sweeps.records.metrics_of import metrics_of
from sweeps.records.record import SAMPLES, Record, write_table
from sweeps.records.samples import write_samples


def measured(scores: list[float], outputs: list[str]) -> Measurement:
    ids = tuple(f"s{i}" for i in range(len(scores)))
    inputs = tuple(f"prompt {i}" for i in range(len(scores)))
    return Measurement("toxicity/mean", "report", ids, np.array(scores), inputs=inputs, outputs=tuple(outputs))


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    base = [measured([0.9, 0.5, 0.1], ["rude", "so so", "kind"])]
    edited = [measured([0.1, 0.5, 0.4], ["[red]kind[/red] \x1b[31mnow", "so so", "odd"])]
    folder = tmp_path / "outputs" / "runs" / "made"
    cell = folder / "abc123"
    cell.mkdir(parents=True)
    write_samples(cell / SAMPLES, base, edited)
    record = Record("abc123", "done", keys={"alpha": 1.0, "top_k": 3}, metrics=metrics_of(base, edited, seed=0))
    record.save(cell)
    write_table(folder, [record])
    return folder


def test_the_largest_changes_come_first(sweep: Path, sweeps) -> None:
    out = sweeps("samples", "made", "abc").out
    assert out.index("prompt 0") < out.index("prompt 2") < out.index("prompt 1")
    assert "0.500 → 0.333" in out


def test_each_half_is_told_by_its_own_number(made_sweep: Path, monkeypatch: pytest.MonkeyPatch, sweeps) -> None:
    monkeypatch.chdir(made_sweep.parents[2])
    for half, key in (("report", "toxicity/toxic_rate"), ("selection", "selection/toxicity/toxic_rate")):
        measured = Record.load(made_sweep / "c2-8").metrics[key]
        assert f"{measured.base:.3f} → {measured.edited:.3f}" in sweeps("samples", "made", "c2-8", "--half", half).out


def test_what_a_model_said_is_shown_and_not_obeyed(sweep: Path, sweeps) -> None:
    out = sweeps("samples", "made", "abc123", "--limit", "1").out
    assert "[red]kind[/red]" in out
    assert "\x1b[31m" not in out
    assert "prompt 2" not in out


def test_an_unknown_measurement_is_refused_with_those_there_are(sweep: Path, sweeps) -> None:
    ran = sweeps("samples", "made", "abc123", "-m", "fluency/x")
    assert ran.code == 1
    assert "there are toxicity/mean" in ran.err
