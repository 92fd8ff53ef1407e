from dataclasses import replace

import numpy as np
import pytest
from made_metrics import made_metrics

from sweeps.cell.cell import VERSION
from sweeps.records.record import Record
from sweeps.results.false_discoveries import adjusted, significant
from sweeps.terminal.cell_tables import console, sweep_notes, sweep_table


def cell(name: str, **p: float | None) -> Record:
    metrics = {
        metric.replace("__", "/"): {"base": 0.5, "edited": 0.4, "delta": -0.1, "ci95": [-0.2, 0.0], "p": value, "n": 9}
        for metric, value in p.items()
    }
    return Record(name, "done", keys={"alpha": 1.0, "top_k": 3}, metrics=made_metrics(metrics), identity=VERSION)


def test_the_step_up_procedure_of_benjamini_and_hochberg() -> None:
    # Their own example (1995, section 3.1): of these fifteen, Bonferroni keeps three at 5 %, this procedure four.
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.324,
        0.4262,
        0.5719,
        0.6528,
        0.759,
        1,
    ]
    order = np.random.default_rng(0).permutation(15)
    kept = significant([cell(f"c{i}", x=p[i]) for i in order], ["x"])
    assert {name for (name, _), holds in kept.items() if holds} == {"c0", "c1", "c2", "c3"}
    assert adjusted([cell(f"c{i}", x=p[i]) for i in order], ["x"])["c3", "x"] == pytest.approx(0.0095 * 15 / 4)


def test_all_metrics_of_all_cells_count_together() -> None:
    records = [cell("a", x=0.03, y=0.9), cell("b", x=0.9, y=0.9)]
    assert significant(records[:1], ["x"]) == {("a", "x"): True}
    assert not any(significant(records, ["x", "y"]).values())


def test_without_names_the_metrics_are_those_of_a_table() -> None:
    assert set(significant([cell("a", lm_eval__average=0.01, lm_eval__one__acc=0.01)])) == {("a", "lm_eval/average")}


def test_what_has_no_p_counts_for_nothing() -> None:
    old = Record(
        "old",
        "done",
        metrics=made_metrics({"x": {"base": 1.0, "edited": 0.0, "delta": -1.0, "ci95": [-1, -1], "n": 3}}),
    )
    failed = Record("failed", "failed", metrics=cell("failed", x=0.5).metrics)
    assert significant([old, failed, cell("alone", x=None)], ["x"]) == {}
    assert significant([old, failed, cell("a", x=0.04)], ["x"]) == {("a", "x"): True}


def test_a_table_marks_what_stays_significant_and_what_is_broken(capsys) -> None:
    broken = cell("broken", toxicity__toxic_rate=0.9)
    length = made_metrics({"fluency/length": {"base": 10.0, "edited": 1.0}})
    broken = replace(broken, metrics={**broken.metrics, **length})
    records = [cell("changed", toxicity__toxic_rate=0.001), broken]
    console().print(sweep_table(records, best=["changed"]))
    lines = capsys.readouterr().out.splitlines()
    [changed] = [line for line in lines if "changed *" in line]
    [other] = [line for line in lines if "broken ×" in line]
    assert "† 0.500 → 0.400" in changed
    assert "†" not in other
    assert sweep_notes(records) == [
        "† differs from the base at a false discovery rate of 5 % over 2 comparisons",
        "× broken broke the text and is never chosen: continuations are 0.10 times as long as the base's",
    ]
    assert sweep_notes([cell("same", toxicity__toxic_rate=0.9)]) == []
