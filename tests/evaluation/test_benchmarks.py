"""Rows of benchmarks and their average, and questions at fixed places."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_metrics import assert_named_beforehand

from evaluation.benchmarks import Benchmarks, as_plain_mean
from evaluation.lm_eval_tasks import LmEval
from evaluation.measurements.measurement import Measurement
from surgery.errors import InputError

SIZES = {"one": 4, "two": 10, "three": 7}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, size in SIZES.items():
        rows = [{"question": f"w{i} w{i + 1}", "choices": ["w5", f"w{i + 8}"], "answer": i % 2} for i in range(size)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        (tmp_path / f"{name}.yaml").write_text(
            f"""task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {tmp_path / f"{name}.jsonl"}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""
        )
    return tmp_path


def rows_of(folder: Path) -> dict[str, LmEval]:
    return {
        "single": LmEval(["one"], folder),
        "mean": LmEval(["two", "three"], folder, metric="acc_norm"),
        "pooled": LmEval(["two", "three"], folder),
    }


def test_rows_and_their_average(folder: Path, model: Any, tokenizer: Any) -> None:
    measured = {one.name: one for one in Benchmarks(rows_of(folder), ["pooled"]).measure(model, tokenizer)}
    assert_named_beforehand(Benchmarks(rows_of(folder), ["pooled"]), measured)
    scores = {name: measured[f"lm_eval/{name}/acc"].scores for name in SIZES}
    norm = {name: measured[f"lm_eval/{name}/acc_norm"].scores for name in SIZES}
    single = scores["one"].mean()
    mean = (norm["two"].mean() + norm["three"].mean()) / 2
    pooled = np.concatenate([scores["two"], scores["three"]]).mean()
    assert norm["two"].mean() != norm["three"].mean()
    assert value(measured["lm_eval/single"]) == pytest.approx(single)
    assert value(measured["lm_eval/mean"]) == pytest.approx(mean)
    assert value(measured["lm_eval/pooled"]) == pytest.approx(pooled)
    assert value(measured["lm_eval/average"]) == pytest.approx((single + mean + pooled) / 3)


def value(measurement: Measurement) -> float:
    """By the definition of each statistic."""
    if measurement.strata is None:
        return float(measurement.scores.mean())
    strata = np.array(measurement.strata)
    return float(np.mean([measurement.scores[strata == name].mean() for name in set(measurement.strata)]))


def test_a_mean_of_means_is_the_same_number_as_a_plain_mean() -> None:
    strata = ("a", "a", "a", "b", "c", "c")
    scores = np.array([1.0, 0, 0.5, 1, 0, 1])
    ids = tuple("123456")
    whole = Measurement("x", "report", ids, scores, statistic="mean_of_means", strata=strata)
    assert as_plain_mean(whole).scores.mean() == pytest.approx((0.5 + 1 + 0.5) / 3)


def test_sampled_questions_are_spread_and_always_the_same(folder: Path, model: Any, tokenizer: Any) -> None:
    first = LmEval(["two"], folder, sampled=4)
    ids, again = (
        {one.name: one.sample_ids for one in first.measure(model, tokenizer)}["lm_eval/two/acc"] for _ in range(2)
    )
    assert len(ids) == 4 and ids == again
    assert [int(name.split("-")[0]) for name in ids] != [0, 1, 2, 3]
    whole = {one.name: one for one in LmEval(["two"], folder).measure(model, tokenizer)}["lm_eval/two/acc"]
    assert set(ids) < set(whole.sample_ids)
    assert first.identity() != LmEval(["two"], folder).identity()


def test_rows_that_can_not_be_run(folder: Path, model: Any, tokenizer: Any) -> None:
    with pytest.raises(InputError, match="the pooled row 'none' is none of single, mean, pooled"):
        Benchmarks(rows_of(folder), ["none"]).check()
    with pytest.raises(InputError, match="limit=2 and sampled=3 exclude each other"):
        LmEval(["two"], folder, limit=2, sampled=3).check()
    with pytest.raises(InputError, match="has no metric 'f1'; it has acc, acc_norm"):
        Benchmarks({"x": LmEval(["two"], folder, metric="f1")}).measure(model, tokenizer)
