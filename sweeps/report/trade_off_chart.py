"""Two metrics against each other, a point a cell."""

from collections.abc import Sequence
from typing import Any

from sweeps.charts.chart import Chart, Line, Mark, Points, Scale
from sweeps.charts.palette import BASE, MAIN, SOFT, TWO_ENDS
from sweeps.report.drawn_sweep import DrawnSweep, Row, cells, column
from sweeps.results.headlines import SELECTION


def trade_off_chart(sweep: DrawnSweep, x: str, y: str) -> Chart:
    """Metric `y` over metric `x`: all cells, their front, the chosen cell, and the unedited model."""
    scale = _scale(sweep)
    front = sweep.front(x, y)

    def points(name: str, rows: Sequence[Row], **form: Any) -> list[Mark]:
        colour = tuple(row["keys"][scale.label] for row in rows) if scale else MAIN
        return [Points(name, column(rows, x), column(rows, y), colour, cells=cells(rows), **form)] if rows else []

    marks: list[Mark] = []
    if len(front) > 1:
        marks.append(Line("front", column(front, x), column(front, y), SOFT, dash="dot"))
    marks += points("cell", sweep.sound, filled=False)
    marks += points("cell on the front", [row for row in front if not row["chosen"]])
    marks += points("broke the text", sweep.broken, symbol="cross")
    marks += points(f"chosen{sweep.values['half']}", sweep.chosen, symbol="star", size=13, edge="#444444")
    if bases := sweep.bases(x, y):
        xs, ys = (tuple(one[side] for one in bases) for side in (0, 1))
        marks.append(Points("base", xs, ys, BASE, symbol="diamond", size=8.5, texts=("base",) * len(bases)))
    marks += _of_the_paper(sweep, x, y)
    told = tuple(dict.fromkeys([y, x, *sweep.values["headlines"]]))
    return Chart(sweep.axes[x], sweep.axes[y], tuple(marks), scale=scale, metrics=told)


def _scale(sweep: DrawnSweep) -> Scale | None:
    if (key := sweep.colour_key) is None:
        return None
    known = [row["keys"][key] for row in sweep.rows]
    return Scale(key, min(known), max(known), TWO_ENDS)


def _of_the_paper(sweep: DrawnSweep, x: str, y: str) -> list[Mark]:
    """Aside, since they are of another model, other prompts and tasks."""
    if y != sweep.values["behavior"]:
        return []
    kind = "perplexity" if x.removeprefix(SELECTION).startswith("perplexity/") else x
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
