"""Cells that differ only in their seed are told as one."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.comparison.compare import compare
from evaluation.measurements.measurement import Measurement
from surgery.errors import InputError
from sweeps.records.metric import Metric
from sweeps.records.metrics_of import metrics_of
from sweeps.records.record import SAMPLES, Record
from sweeps.records.samples import write_samples
from sweeps.results.pooling import pool

IDS = tuple(f"s{i}" for i in range(40))
TOKENS = np.linspace(10, 60, 40)
TASKS = ("a",) * 10 + ("b",) * 30
KINDS: dict[str, dict[str, object]] = {
    "rate": {},
    "perplexity": {"statistic": "perplexity", "weights": TOKENS},
    "average": {"statistic": "mean_of_means", "strata": TASKS},
}


def measured(name: str, scores: np.ndarray) -> Measurement:
    return Measurement(name, "report", IDS, scores, **KINDS[name])  # type: ignore[arg-type]


def scores_of(seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    fixed, generator = np.random.default_rng(99), np.random.default_rng(seed)
    rate, loss = fixed.integers(0, 2, 40).astype(float), TOKENS * fixed.uniform(1.5, 2.5, 40)
    return {
        "rate": (rate, rate * generator.integers(0, 2, 40)),
        "perplexity": (loss, loss + TOKENS * generator.uniform(0, 0.2, 40)),
        "average": (rate, generator.integers(0, 2, 40).astype(float)),
    }


def cell(folder: Path, seed: int, alpha: float = 1.0, **changed: object) -> Record:
    """A finished cell with samples, as a run leaves it."""
    pairs = [(measured(n, base), measured(n, edited)) for n, (base, edited) in scores_of(seed).items()]
    base, edited = ([pair[side] for pair in pairs] for side in (0, 1))
    name = f"cell-{alpha}-{seed}"
    (folder / name).mkdir(parents=True)
    write_samples(folder / name / SAMPLES, base, edited)
    metrics = metrics_of(base, edited, seed)
    metrics["probe/test_accuracy"] = Metric("probe/test_accuracy", edited=0.9 + seed / 100, n=8)
    fields = {"cell": name, "status": "done", "protocol": "p", "metrics": metrics}
    keys = {"alpha": alpha, "seed": seed}
    return Record(**{**fields, "keys": keys, **changed})  # type: ignore[arg-type]


def test_each_sample_is_averaged_over_seeds_and_counted_once(tmp_path: Path) -> None:
    records = [cell(tmp_path, seed) for seed in (2, 0, 1)]
    [pooled] = pool(records, tmp_path)
    assert (pooled.cells, pooled.seeds) == (("cell-1.0-0", "cell-1.0-1", "cell-1.0-2"), (0, 1, 2))
    assert pooled.keys == {"alpha": 1.0}
    found = [scores_of(seed) for seed in (0, 1, 2)]

    rate = np.array([edited - base for base, edited in (scores["rate"] for scores in found)])
    assert pooled.metrics["rate"].delta == pytest.approx(rate.mean())
    assert pooled.metrics["rate"].n == 40
    assert pooled.metrics["rate"].seeds == 3
    assert pooled.metrics["rate"].sd_over_seeds == pytest.approx(np.std(rate.mean(axis=1), ddof=1))

    losses = np.mean([scores["perplexity"][1] for scores in found], axis=0)
    assert pooled.metrics["perplexity"].edited == pytest.approx(np.exp(losses.sum() / TOKENS.sum()))

    edited = np.mean([scores["average"][1] for scores in found], axis=0)
    assert pooled.metrics["average"].edited == pytest.approx((edited[:10].mean() + edited[10:].mean()) / 2)


def test_the_interval_is_that_of_the_averaged_samples(tmp_path: Path) -> None:
    [pooled] = pool([cell(tmp_path, seed) for seed in (0, 1)], tmp_path)
    for name in KINDS:
        base, edited = (np.mean([scores_of(seed)[name][side] for seed in (0, 1)], axis=0) for side in (0, 1))
        told = compare(measured(name, base), measured(name, edited), seed=0)
        assert pooled.metrics[name].interval == pytest.approx(told.ci95)
        assert pooled.metrics[name].p == pytest.approx(told.p)


def test_only_cells_that_differ_in_nothing_but_the_seed_are_pooled(tmp_path: Path) -> None:
    records = [
        cell(tmp_path, 0),
        cell(tmp_path, 1),
        cell(tmp_path, 0, alpha=2.0),
        cell(tmp_path, 1, alpha=3.0, protocol="measured in another way", keys={"alpha": 1.0, "seed": 1}),
        cell(tmp_path, 2, alpha=4.0, status="failed"),
    ]
    rows = pool(records, tmp_path)
    assert [row.cells for row in rows] == [("cell-1.0-0", "cell-1.0-1"), ("cell-2.0-0",), ("cell-3.0-1",)]
    alone = rows[1].metrics["rate"]
    assert (alone.seeds, alone.sd_over_seeds) == (1, None)
    assert alone == records[2].metrics["rate"]


def test_what_has_no_samples_is_averaged(tmp_path: Path) -> None:
    [pooled] = pool([cell(tmp_path, seed) for seed in (0, 1)], tmp_path)
    accuracy = pooled.metrics["probe/test_accuracy"]
    assert accuracy.edited == pytest.approx(0.905)
    assert accuracy.sd_over_seeds == pytest.approx(np.std([0.9, 0.91], ddof=1))
    assert accuracy.delta is None


def test_a_file_without_weights_is_not_pooled_and_a_missing_one_is_named(tmp_path: Path) -> None:
    records = [cell(tmp_path, seed) for seed in (0, 1)]
    path = tmp_path / "cell-1.0-1" / SAMPLES
    pd.read_parquet(path).drop(columns=["weight", "stratum"]).to_parquet(path, index=False)
    assert [row.cells for row in pool(records, tmp_path)] == [("cell-1.0-0",), ("cell-1.0-1",)]
    path.unlink()
    with pytest.raises(InputError, match=r"cell-1\.0-1"):
        pool(records, tmp_path)


def test_a_sweep_over_seeds_chooses_and_tells_them_together(surgery, sweeps, arguments, results) -> None:
    choose = "evaluation.choose={minimize: perplexity/story}"
    ran = surgery("-m", *arguments, "seed=0,1", "alpha=1,30", "top_k=4", choose)
    assert ran.code == 0, ran.err
    records = results()
    assert len(records) == 4
    told = ran.out[ran.out.index("* chosen") :]
    best = [cell for cell in records if cell in told]
    assert len({json.dumps(records[cell]["keys"]["alpha"]) for cell in best}) == 1
    assert {records[cell]["keys"]["seed"] for cell in best} == {0, 1}
    assert "seeds 0, 1 pooled" in told
    assert "sd over 2 seeds" in told
    [name] = {path.parent.parent.name for path in Path("outputs/runs").glob("*/*/result.json")}
    assert "seeds 0, 1 pooled" in sweeps("best", name, "--minimize", "perplexity/story").out
