"""`evaluation.robustness.steps=…`: one key beside any evaluation, on the command line, in records and in the report."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweeps.charts.chart import Points
from sweeps.config.read_settings import KeyIsWrong
from sweeps.plan.materials import Materials
from sweeps.records.choice import Choice
from sweeps.records.metric import Metric
from sweeps.records.record import Record, load_records
from sweeps.report.contents import contents
from sweeps.report.drawn_sweep import DrawnSweep
from sweeps.report.page_charts import page_charts
from sweeps.report.robustness_chart import MOST_LINES, relearned, robustness_chart
from sweeps.results.headlines import headline_metrics
from sweeps.results.possible_values import possible
from sweeps.results.trade_off import known_better

RATE = "toxicity/toxic_rate"
AFTER = {steps: f"robustness/{RATE}_after_{steps}" for steps in (10, 30)}


@pytest.fixture
def asked(arguments: list[str], world: Any) -> list[str]:
    given = [*arguments, f"evaluation.prompts={world.prompts}", "evaluation.judge=probe-texts", "probe.test_share=0.4"]
    return [*given, "top_k=20", "evaluation.max_new_tokens=4", "evaluation.robustness.lr=0.05"]


@pytest.mark.slow
def test_base_and_edited_are_measured_after_the_same_steps(
    surgery: Callable[..., Any],
    sweeps: Callable[..., Any],
    asked: list[str],
    results: Callable[[], Any],
    tmp_path: Path,
) -> None:
    cells = ["-m", *asked, "method=surgery,feature_subtraction,task_vector", "sweep=s"]
    ran = surgery(*cells, "evaluation.robustness.steps=[0,2,9]")
    assert ran.code == 0, ran.err
    assert "trains on 17 different texts of class '1' that a probe of seed 0 is trained on" in ran.out + ran.err
    found = results().values()
    for cell in found:
        metrics = cell["metrics"]
        for steps in (2, 9):
            one = metrics[f"robustness/guard/probe-texts/mean_after_{steps}"]
            assert one["n"] == 12 and one["ci95"][0] <= one["delta"] <= one["ci95"][1]
            assert one["delta"] == pytest.approx(one["edited"] - one["base"])
        for name in ("guard/probe-texts/mean", "selection/guard/probe-texts/mean"):
            half, _, plain = name.rpartition("guard/")
            assert metrics[f"{half}robustness/guard/{plain}_after_0"]["edited"] == metrics[name]["edited"]
            assert metrics[f"{half}robustness/guard/{plain}_after_0"]["base"] == metrics[name]["base"]
    assert len({cell["metrics"]["robustness/guard/probe-texts/mean_after_9"]["base"] for cell in found}) == 1
    assert len({cell["metrics"]["guard/probe-texts/mean"]["edited"] for cell in found}) > 1
    told = sweeps("report", "s")
    assert told.code == 0, told.err
    assert [*(tmp_path / "outputs/runs/s/figures").glob("robustness-guard*probe-texts*mean.svg")]
    page = (tmp_path / "outputs/runs/s/report.html").read_text()
    assert '<a href="#robustness">' in page


def test_too_few_texts_to_train_on_are_one_line_before_a_model_is_loaded(
    surgery: Callable[..., Any], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.run.workbench.load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    ran = surgery(*asked, "evaluation.robustness.steps=[3]", "evaluation.robustness.batch_size=25")
    assert ran.code == 1
    [line] = ran.err.splitlines()
    assert "evaluation.robustness trains on 17 different texts of class '1'" in line
    assert line.endswith("give more texts, or say evaluation.robustness.batch_size=17")


def with_steps(folder: Path) -> list[Record]:
    """The cells of a sweep as if a rate of 0.1 and of 0.2 more had come back after 10 and 30 steps."""

    def more(one: Record) -> Record:
        rate = one.metrics[RATE]
        told = {
            name: replace(
                rate,
                name=name,
                base=rate.base + steps / 100,
                edited=rate.edited + steps / 100,
            )
            for steps, name in AFTER.items()
        }
        return replace(one, metrics=dict(one.metrics) | told)

    return [more(one) if one.status == "done" else one for one in load_records(folder)]


def drawn(folder: Path, records: list[Record]) -> DrawnSweep:
    return DrawnSweep(contents("made", folder, records, Choice.parse({"minimize": RATE})).values)


def test_the_curve_begins_with_the_metric_itself_and_the_base_is_beside_it(made_sweep: Path) -> None:
    sweep = drawn(made_sweep, with_steps(made_sweep))
    after = relearned(sweep)
    assert after == {RATE: {0: RATE, **AFTER}}
    chart = robustness_chart(sweep, RATE, after[RATE])
    assert chart is not None and len(sweep.rows) <= MOST_LINES
    *lines, base = [mark for mark in chart.marks if isinstance(mark, Points)]
    told = {one.cell: one.metrics[RATE] for one in load_records(made_sweep) if one.status == "done"}
    [level] = {one.base for one in told.values()}
    assert (base.name, base.x, base.joined) == ("base", (0, 10, 30), "dash")
    assert base.y == pytest.approx((level, level + 0.1, level + 0.3))
    # alpha and top_k differ; it takes both to tell the cells apart.
    assert {line.name for line in lines} == {"top_k={top_k} alpha={alpha}".format(**row["keys"]) for row in sweep.rows}
    assert {line.cells for line in lines} == {(cell,) * 3 for cell in told}
    for line in lines:
        metric = told[line.cells[0]]
        assert line.x == (0, 10, 30)
        assert line.y == pytest.approx([metric.edited + steps / 100 for steps in (0, 10, 30)], rel=1e-5)
        low, high = line.y_intervals[2] or (0, 0)
        assert low <= line.y[2] <= high
    assert chart.y.label == f"{RATE} (lower is better)"
    page = page_charts(sweep.values)["robustness"]
    assert page.charts == {(RATE,): chart} and page.menus[0].first == RATE
    assert "robustness" not in page_charts(drawn(made_sweep, list(load_records(made_sweep))).values)


def test_of_more_cells_than_lines_can_be_told_apart_the_chosen_one_is_drawn(made_sweep: Path) -> None:
    records = with_steps(made_sweep)
    done = [one for one in records if one.status == "done"]
    many = [replace(done[0], cell=f"m{i}", keys=dict(done[0].keys) | {"alpha": 10.0 + i}) for i in range(MOST_LINES)]
    sweep = drawn(made_sweep, [*records, *many])
    chart = robustness_chart(sweep, RATE, relearned(sweep)[RATE])
    assert chart is not None and chart.title == f"one of {len(sweep.rows)} cells"
    [line] = [mark for mark in chart.marks if isinstance(mark, Points) and mark.cells]
    assert set(line.cells) == {sweep.first["cell"]}


def test_what_is_measured_again_is_wanted_as_before_and_stands_in_tables() -> None:
    refused = "jailbreak/refusal_rate"
    wanted = Choice.parse({"maximize": refused})
    assert known_better(f"robustness/{refused}_after_30", wanted) == "maximize"
    assert known_better(f"selection/{AFTER[30]}", None) == "minimize"
    assert possible("robustness/perplexity/wiki_after_3", [4.0]) == (1.0, None)
    metrics = {name: Metric(name, edited=0.1) for name in (RATE, "fluency/length", *AFTER.values())}
    measured = Record("a", "done", metrics=metrics)
    assert headline_metrics([measured]) == [RATE, *AFTER.values()]


def test_records_of_before_there_was_the_key_are_planned_as_they_were() -> None:
    values: dict[str, Any] = {"evaluation": {"measurements": {}, "checksums": None}, "behavior": {}}
    values["probe"] = {"test_share": 0.1}
    assert not Materials().evaluators(values).made
    values["evaluation"]["robustness"] = {"steps": [], "of": None}
    assert not Materials().evaluators(values).made
    values["evaluation"]["robustness"] = [10, 30]
    with pytest.raises(KeyIsWrong, match=r"say evaluation\.robustness\.steps=\[0,10,30,100\]"):
        Materials().evaluators(values)
