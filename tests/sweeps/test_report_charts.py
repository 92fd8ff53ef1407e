"""What the charts of a report show, against numbers taken from the records by hand."""

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweeps.charts.chart import Chart, Grid, Level, Line, Points
from sweeps.charts.palette import ABOVE, BELOW, MIDDLE, around, mixed
from sweeps.records.choice import Choice
from sweeps.records.metric import Metric
from sweeps.records.record import Record, load_records
from sweeps.report.contents import contents
from sweeps.report.drawn_sweep import DrawnSweep
from sweeps.report.key_charts import curve_chart, map_chart
from sweeps.report.metric_axes import metric_axis
from sweeps.report.page_charts import page_charts
from sweeps.report.trade_off_chart import trade_off_chart
from sweeps.results.trade_off import known_better

RATE, STORY = "toxicity/toxic_rate", "perplexity/story"
RULE = {"minimize": RATE, "where": [f"{STORY}/ratio<=1.5", f"{STORY}/delta<=0.25", f"{RATE}<=0.5"]}


def drawn(folder: Path, records: Any = None, rule: dict[str, Any] | None = None) -> DrawnSweep:
    found = records if records is not None else load_records(folder)
    return DrawnSweep(contents("made", folder, found, Choice.parse(rule or RULE)).values)


def marks(chart: Chart) -> dict[str, Any]:
    return {mark.name: mark for mark in chart.marks if not isinstance(mark, Grid)}


def record(folder: Path, cell: str) -> Record:
    return next(one for one in load_records(folder) if one.cell == cell)


def with_perplexity(one: Record, base: float, edited: float) -> Record:
    delta = edited - base
    told = Metric(STORY, "report", base, edited, delta, low=delta, high=delta, p=0.01, n=30)
    return replace(one, metrics={RATE: one.metrics[RATE], STORY: told})


def test_a_broken_cell_does_not_stretch_the_axes_but_stands_at_their_edge(made_sweep: Path) -> None:
    chart = trade_off_chart(drawn(made_sweep), STORY, RATE)
    # Its perplexity is 19.0; all others are below 8.9.
    assert record(made_sweep, "c3-8").metrics[STORY].edited > 19
    assert chart.x.limits is not None and chart.x.limits[1] < 9
    beyond = marks(chart)["broke the text, beyond the edge"]
    assert beyond.cells == ("c3-8",)
    low, high = chart.x.limits
    assert high - 0.03 * (high - low) < beyond.x[0] < high
    assert beyond.y == pytest.approx((record(made_sweep, "c3-8").metrics[RATE].edited,), rel=1e-5)
    assert "broke the text" not in marks(chart)
    # Where nothing is far away it is a cross where it belongs.
    flat = trade_off_chart(drawn(made_sweep), RATE, RATE)
    assert marks(flat)["broke the text"].symbol == "cross"
    assert marks(flat)["broke the text"].x == beyond.y


def test_perplexities_are_on_a_logarithmic_axis_with_round_ticks(made_sweep: Path) -> None:
    done = [one for one in load_records(made_sweep) if one.status == "done"]
    # Of several models: each cell is near its own base, the bases are not.
    wide = [with_perplexity(one, 4.0 * 2**place, 4.1 * 2**place) for place, one in enumerate(done)]
    axis = metric_axis(drawn(made_sweep, wide, {"minimize": RATE}), STORY)
    assert axis.log and axis.limits is not None
    assert axis.limits[0] < 4.0 and axis.limits[1] > 4.1 * 32
    assert [words for _, words in axis.ticks] == ["5", "10", "20", "50", "100"]
    near = metric_axis(drawn(made_sweep), STORY)
    assert near.log and near.limits is not None
    # From 8.5 to 8.9 there are no round numbers, but round steps.
    places = [place for place, _ in near.ticks]
    assert [words for _, words in near.ticks] == [f"{place:g}" for place in places]
    assert 4 <= len(places) <= 9
    assert {round(b - a, 6) for a, b in itertools.pairwise(places)} in ({0.05}, {0.1})
    assert near.limits[0] <= places[0] < places[-1] <= near.limits[1]
    assert not metric_axis(drawn(made_sweep, wide), RATE).log


def test_the_intervals_of_the_chosen_cell_are_drawn(made_sweep: Path) -> None:
    [star] = [mark for name, mark in marks(trade_off_chart(drawn(made_sweep), STORY, RATE)).items() if "chosen" in name]
    assert (star.symbol, star.cells) == ("star", ("c2-8",))
    told = record(made_sweep, "c2-8").metrics
    for metric, [ends] in ((STORY, star.x_intervals), (RATE, star.y_intervals)):
        low, high = (told[metric].base + bound for bound in told[metric].interval)
        assert ends == pytest.approx((max(low, 0.0), high), rel=1e-4)


def test_a_line_is_called_by_no_more_keys_than_tell_it_from_the_others(made_sweep: Path) -> None:
    done = [one for one in load_records(made_sweep) if one.status == "done"][:4]
    settings = [
        {"method": "surgery", "layer": 1, "probe": "adam", "method.rank": None},
        {"method": "surgery", "layer": 2, "probe": "adam", "method.rank": None},
        {"method": "lora", "probe": None, "method.rank": 4},
        {"method": "lora", "probe": None, "method.rank": 4},
    ]
    records = [
        replace(one, keys={**one.keys, **keys, "top_k": 8, "alpha": float(place)})
        for place, (one, keys) in enumerate(zip(done, settings, strict=True))
    ]
    chart = curve_chart(drawn(made_sweep, records, {"minimize": RATE}), STORY, "alpha")
    assert chart is not None
    lines = {mark.name: mark.x for mark in chart.marks if isinstance(mark, Points)}
    assert lines == {"method=surgery layer=1": (0.0,), "method=surgery layer=2": (1.0,), "method=lora": (2.0, 3.0)}


def test_limits_of_the_rule_are_lines_where_the_axes_reach_them(made_sweep: Path) -> None:
    base = record(made_sweep, "c2-8").metrics[STORY].base
    for chart, axis in (
        (trade_off_chart(drawn(made_sweep), STORY, RATE), "x"),
        (curve_chart(drawn(made_sweep), STORY, "alpha"), "y"),
    ):
        assert chart is not None
        levels = {mark.name: (mark.axis, mark.value) for mark in chart.marks if isinstance(mark, Level)}
        assert levels[f"rule: {STORY}/delta <= 0.25"] == (axis, pytest.approx(base + 0.25, rel=1e-5))
        # 1.5 times the base lies far beyond what is drawn.
        assert f"rule: {STORY}/ratio <= 1.5" not in levels
    chart = trade_off_chart(drawn(made_sweep), STORY, RATE)
    assert marks(chart)[f"rule: {RATE} <= 0.5"] == Level(f"rule: {RATE} <= 0.5", "y", 0.5, "#838b94")


def test_larger_points_are_larger_regions_and_forms_are_in_the_legend(made_sweep: Path) -> None:
    chart = trade_off_chart(drawn(made_sweep), STORY, RATE)
    found = marks(chart)
    sizes = {
        cell: size
        for mark in found.values()
        if isinstance(mark, Points) and isinstance(mark.size, tuple)
        for cell, size in zip(mark.cells, mark.size, strict=True)
    }
    assert {cell: size for cell, size in sizes.items() if cell.endswith("-4")} == {
        "c1-4": 5,
        "c2-4": 5,
        "c3-4": 5,
    }
    assert {size for cell, size in sizes.items() if cell.endswith("-8")} == {11}
    assert "the larger, the more rows (top_k 4 to 8)" in found
    assert (found["cell"].filled, found["cell on the front"].filled) == (False, True)
    assert chart.x.label == f"{STORY} (lower is better)"


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        (RATE, "minimize"),
        ("selection/lm_eval/average", "maximize"),
        ("lm_eval/task/acc_norm", "maximize"),
        ("lm_eval/wikitext/word_perplexity", "minimize"),
        # High in one experiment, low in another: only a rule tells.
        ("jailbreak/refusal_rate", None),
    ],
)
def test_the_better_direction_is_said_only_where_it_is_known(metric: str, wanted: str | None) -> None:
    assert known_better(metric, None) == wanted
    assert known_better(metric, Choice.parse({"maximize": metric.removeprefix("selection/")})) == "maximize"


def test_the_front_of_any_two_metrics_is_what_comparing_every_pair_finds(made_sweep: Path) -> None:
    sweep = drawn(made_sweep)
    # Both metrics are better low; the broken cell is no rival.
    points = {
        row["cell"]: (row["metrics"][STORY][1], row["metrics"][RATE][1]) for row in sweep.rows if not row["broken"]
    }
    front = {
        cell
        for cell, (x, y) in points.items()
        if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points.values())
    }
    line = marks(trade_off_chart(sweep, STORY, RATE))["front"]
    assert isinstance(line, Line)
    assert list(zip(line.x, line.y, strict=True)) == sorted(points[cell] for cell in front)
    assert "front" not in marks(trade_off_chart(sweep, RATE, RATE))


def test_a_heat_map_goes_both_ways_from_the_base_and_marks_what_is_special(made_sweep: Path) -> None:
    kept = [one for one in load_records(made_sweep) if one.cell != "c2-4"]
    sweep = drawn(made_sweep, kept)
    chart = map_chart(sweep, STORY, sweep.rows)
    assert chart is not None and chart.scale is not None
    base, worst = (getattr(record(made_sweep, "c3-4").metrics[STORY], of) for of in ("base", "edited"))
    # Broken text does not count; nothing is as much better as the worst is worse, but it could be.
    assert (chart.scale.low, chart.scale.high) == pytest.approx((2 * base - worst, worst), rel=1e-5)
    assert chart.scale.stops == ((0, BELOW), (pytest.approx(0.5, abs=1e-3), MIDDLE), (1, ABOVE))
    assert chart.title == f"white: base ({base:.3f}), blue: better"
    grid = next(mark for mark in chart.marks if isinstance(mark, Grid))
    assert grid.cells == (("c1-4", None, "c3-4"), ("c1-8", "c2-8", "c3-8"))
    assert grid.texts[1][2] == f"{record(made_sweep, 'c3-8').metrics[STORY].edited:.3f} ×"
    found = marks(chart)
    # At the second alpha and the first top_k: hatched within the square, in strokes that end.
    hatched = found["no cell"]
    places = [(x, y) for x, y in zip(hatched.x, hatched.y, strict=True) if x is not None and y is not None]
    assert len(places) == 10 and hatched.x.count(None) == 5
    assert all(0.5 < x < 1.5 and -0.5 < y < 0.5 for x, y in places)
    # Around c2-8, at the second alpha and the second top_k.
    outline = found["chosen on the selection half"]
    assert (min(outline.x), max(outline.x), min(outline.y), max(outline.y)) == pytest.approx((0.53, 1.47, 0.54, 1.46))


def test_colours_around_a_middle_are_as_pale_as_they_are_near() -> None:
    assert around(0.9, 0.9, 0.0, 1.0, ("#000000", "#ffffff")) == (
        (0, "#000000"),
        (pytest.approx(0.9), MIDDLE),
        (1, mixed(MIDDLE, "#ffffff", 0.1 / 0.9)),
    )
    assert around(1.0, 0.5, 0.5, 1.0, ("#000000", "#ffffff")) == ((0, "#000000"), (1, MIDDLE))
    assert mixed("#000000", "#ff8000", 0.5) == "#804000"


def test_a_search_is_drawn_as_points_and_offers_no_menus_that_hold_one_cell_each(made_sweep: Path) -> None:
    done = [one for one in load_records(made_sweep) if one.status == "done"]
    visited = [
        replace(one, keys={**one.keys, "alpha": 1 + place / 7, "top_k": 4 + place, "layer": place})
        for place, one in enumerate(done)
    ]
    sweep = drawn(made_sweep, visited)
    page = page_charts(sweep.values)
    assert [menu.id for menu in page["maps"].menus] == ["maps-metric"]
    chart = page["maps"].charts[(RATE,)]
    assert chart is not None
    assert sorted(cell for mark in chart.marks if isinstance(mark, Points) for cell in mark.cells) == sorted(
        one.cell for one in visited
    )


def test_each_choice_of_the_menus_has_its_chart(made_sweep: Path) -> None:
    done = [one for one in load_records(made_sweep) if one.status == "done"]
    twice = [
        replace(one, keys={**one.keys, "method": method}, cell=f"{one.cell}{method}")
        for one in done
        for method in ("surgery", "lora")
    ]
    page = page_charts(drawn(made_sweep, twice).values)
    assert [menu.id for menu in page["maps"].menus] == ["maps-metric", "maps-method"]
    for place in page.values():
        choices = {(): None}
        for menu in place.menus:
            choices = {(*before, value): None for before in choices for value in menu.options}
            assert menu.first in menu.options
        assert set(place.charts) == set(choices)
    # The metric it is about stands on the chart that a menu's choice shows.
    for (metric, _), chart in page["maps"].charts.items():
        assert chart is not None and chart.scale is not None and re.match(metric, chart.scale.label)
