"""Two metrics against each other, a point a cell."""

import math
from collections.abc import Sequence
from typing import Any

from sweeps.charts.chart import Axis, Chart, Line, Mark, Points, Scale
from sweeps.charts.palette import BASE, MAIN, SOFT, TWO_ENDS
from sweeps.records.metric import name_of
from sweeps.report.drawn_sweep import DrawnSweep, Row, cells, column
from sweeps.report.metric_axes import at_the_edge, beyond, intervals, metric_axis, rule_levels

# Of the smallest and the largest region's points; of all where sizes mean nothing; of the chosen cell's star.
SMALLEST, LARGEST, EVEN, STAR = 5.0, 11.0, 7.5, 13.0
REGION_SIZE = "top_k"


def trade_off_chart(sweep: DrawnSweep, x: str, y: str) -> Chart:
    """Metric `y` over metric `x`: all cells, their front, the chosen cell with its intervals, and the base.

    Colours stand for one swept number (alpha where it is one), the size of points for the region's. The axes have room
    for the cells that did not break the text; others are drawn at the edge.
    """
    axes = _axis(sweep, x), _axis(sweep, y)
    scale, front = _scale(sweep), sweep.front(x, y)

    def points(name: str, rows: Sequence[Row], size: float | None = None, **form: Any) -> list[Mark]:
        colour = tuple(row["keys"][scale.label] for row in rows) if scale else MAIN
        xs, ys = (at_the_edge(column(rows, metric), axis) for metric, axis in zip((x, y), axes, strict=True))
        sizes = size or tuple(round(_size(sweep, row), 2) for row in rows)
        return [Points(name, xs, ys, colour, size=sizes, cells=cells(rows), **form)] if rows else []

    outside = {
        row["cell"]
        for metric, axis in zip((x, y), axes, strict=True)
        for row, out in zip(sweep.broken, beyond(column(sweep.broken, metric), axis), strict=True)
        if out
    }
    marks: list[Mark] = [*rule_levels(sweep, x, axes[0], "x"), *rule_levels(sweep, y, axes[1], "y")]
    if len(front) > 1:
        marks.append(Line("front", column(front, x), column(front, y), SOFT, dash="dot"))
    marks += points("cell", sweep.sound, filled=False)
    marks += points("cell on the front", [row for row in front if not row["chosen"]])
    marks += points("broke the text", [row for row in sweep.broken if row["cell"] not in outside], symbol="cross")
    marks += points(
        "broke the text, beyond the edge", [row for row in sweep.broken if row["cell"] in outside], symbol="wedge"
    )
    ends = {"x_intervals": intervals(sweep, sweep.chosen, x), "y_intervals": intervals(sweep, sweep.chosen, y)}
    name = f"chosen{sweep.values['half']}, with 95 % intervals"
    marks += points(name, sweep.chosen, STAR, symbol="star", edge="#444444", **ends)
    if bases := sweep.bases(x, y):
        xs, ys = (tuple(one[side] for one in bases) for side in (0, 1))
        marks.append(Points("base", xs, ys, BASE, symbol="diamond", size=8.5))
    marks += [*_size_in_words(sweep), *_of_the_paper(sweep, x, y)]
    told = tuple(dict.fromkeys([y, x, *sweep.values["headlines"]]))
    return Chart(*axes, tuple(marks), scale=scale, metrics=told)


def _axis(sweep: DrawnSweep, metric: str) -> Axis:
    return sweep.once(("axis", metric), lambda: metric_axis(sweep, metric, sweep.chosen))


def _scale(sweep: DrawnSweep) -> Scale | None:
    if (key := sweep.colour_key) is None:
        return None
    known = [row["keys"][key] for row in sweep.rows]
    return Scale(key, min(known), max(known), TWO_ENDS)


def _has_sizes(sweep: DrawnSweep) -> bool:
    """Whether the size of points stands for something: not where colours stand for the region's size already."""
    return REGION_SIZE in sweep.numeric and sweep.colour_key != REGION_SIZE


def _size(sweep: DrawnSweep, row: Row) -> float:
    if not _has_sizes(sweep):
        return EVEN
    sizes = [math.log(one) for one in sweep.values_of(REGION_SIZE)]
    share = (math.log(row["keys"][REGION_SIZE]) - sizes[0]) / (sizes[-1] - sizes[0])
    return SMALLEST + share * (LARGEST - SMALLEST)


def _size_in_words(sweep: DrawnSweep) -> list[Mark]:
    """For the legend alone."""
    if not _has_sizes(sweep):
        return []
    sizes = sweep.values_of(REGION_SIZE)
    name = f"the larger, the more rows ({REGION_SIZE} {sizes[0]:,} to {sizes[-1]:,})"
    return [Points(name, (None,), (None,), SOFT, filled=False, size=LARGEST)]


def _of_the_paper(sweep: DrawnSweep, x: str, y: str) -> list[Mark]:
    """Aside, since they are of another model, other prompts and tasks."""
    if y != sweep.values["behavior"]:
        return []
    kind = "perplexity" if name_of(x).startswith("perplexity/") else x
    return [
        Points(
            f"paper: {point['label']}",
            tuple(point[kind]),
            tuple(point["values"]),
            SOFT,
            symbol="square",
            filled=False,
            size=8,
            texts=("base", "edited"),
            aside=True,
        )
        for point in sweep.values["paper"]
        if kind in point
    ]
