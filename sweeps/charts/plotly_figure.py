"""A chart as the JSON of a plotly figure, for a page that has plotly.js in it.

What a page's reader chooses, light or dark, a narrow window, is left to the page: no colours of background and text.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from sweeps.charts.chart import Axis, Bars, Chart, Column, Grid, Interval, Level, Line, Points, Scale, reach
from sweeps.charts.palette import NEUTRAL

SYMBOLS = {
    "circle": "circle",
    "square": "square",
    "diamond": "diamond",
    "triangle": "triangle-up",
    "hexagon": "hexagon",
    "pentagon": "pentagon",
    "plus": "cross",
    "wedge": "triangle-down",
    "star": "star",
    "cross": "x",
}
# A pixel of a page is 1/96 inch.
PIXELS = 96 / 72


def plotly_figure(chart: Chart) -> dict[str, Any]:
    """The chart as `data` and `layout`; and `metrics`, what is told of a cell that is pointed at.

    Marks that stand for cells have their ids as `customdata`. All words are escaped: plotly takes some HTML for markup.
    """
    layout: dict[str, Any] = {"xaxis": _axis(chart.x), "yaxis": _axis(chart.y)}
    if chart.title:
        layout["title"] = {"text": plain(chart.title), "font": {"size": 14}}
    if chart.scale:
        layout["coloraxis"] = _colours(chart.scale)
    if any(isinstance(mark, Bars) for mark in chart.marks):
        layout |= {"barmode": "overlay", "bargap": 0}
    if levels := [_level(mark) for mark in chart.marks if isinstance(mark, Level)]:
        layout["shapes"] = levels
    # Otherwise plotly leaves out the name of a single mark.
    layout["showlegend"] = any(mark.name for mark in chart.marks if not isinstance(mark, Grid))
    traces = []
    for mark in chart.marks:
        if not isinstance(mark, Level):
            traces.append(_trace(mark))
        if isinstance(mark, Points) and _coloured(mark):
            traces.append(_for_the_legend(mark))
    return {"data": traces, "layout": layout, "metrics": list(chart.metrics)}


def plain(text: str) -> str:
    """Text that plotly shows as it is."""
    return escape(text, quote=False)


def _axis(axis: Axis) -> dict[str, Any]:
    found: dict[str, Any] = {"title": {"text": plain(axis.label)}}
    if axis.log:
        found["type"] = "log"
    if axis.ticks:
        found |= {"tickvals": [place for place, _ in axis.ticks], "ticktext": [plain(text) for _, text in axis.ticks]}
    if axis.upright:
        found["tickangle"] = -90
    if axis.limits:
        # Plotly counts the ends of a logarithmic axis in powers of ten.
        ends = [math.log10(end) if axis.log else end for end in axis.limits]
        found["range"] = ends[::-1] if axis.downward else ends
    elif axis.downward:
        found["autorange"] = "reversed"
    return found


def _colours(scale: Scale) -> dict[str, Any]:
    bar = {"title": {"text": plain(scale.label), "side": "right"}, "thickness": 12, "outlinewidth": 0}
    return {
        "showscale": bool(scale.label),
        "cmin": scale.low,
        "cmax": scale.high,
        "colorscale": scale.stops,
        "colorbar": bar,
    }


def _level(mark: Level) -> dict[str, Any]:
    along, across = ("y", "x") if mark.axis == "y" else ("x", "y")
    return {
        "type": "line",
        f"{along}0": mark.value,
        f"{along}1": mark.value,
        f"{across}ref": "paper",
        f"{across}0": 0,
        f"{across}1": 1,
        "line": {"color": mark.colour, "dash": mark.dash, "width": mark.width},
        **({"name": plain(mark.name), "showlegend": True} if mark.name else {}),
    }


def _trace(mark: Points | Line | Bars | Grid) -> dict[str, Any]:
    match mark:
        case Points():
            return _points(mark)
        case Line():
            style = {"color": mark.colour, "dash": mark.dash, "width": mark.width}
            return _named(mark.name) | {"mode": "lines", "x": mark.x, "y": mark.y, "line": style, "hoverinfo": "skip"}
        case Bars():
            return _bars(mark)
        case Grid():
            found: dict[str, Any] = {"type": "heatmap", "z": mark.values, "coloraxis": "coloraxis"}
            found |= {"xgap": 2, "ygap": 2, "hoverongaps": False}
            if mark.texts:
                found |= {"text": [[plain(text) for text in row] for row in mark.texts], "texttemplate": "%{text}"}
            return found | ({"customdata": mark.cells} if mark.cells else {})


def _named(name: str) -> dict[str, Any]:
    return {"name": plain(name)} if name else {"showlegend": False}


def _points(mark: Points) -> dict[str, Any]:
    modes = ["lines"] * bool(mark.joined) + ["markers"] + ["text"] * bool(mark.texts)
    size: Any = mark.size * PIXELS if not isinstance(mark.size, tuple) else [one * PIXELS for one in mark.size]
    marker: dict[str, Any] = {"symbol": SYMBOLS[mark.symbol] + ("" if mark.filled else "-open"), "size": size}
    if isinstance(mark.colour, str):
        marker["color"] = mark.colour
    else:
        marker |= {"color": mark.colour, "coloraxis": "coloraxis"}
    # Of points of several sizes plotly would see through.
    marker["opacity"] = 1
    marker["line"] = {"width": 1, "color": mark.edge} if mark.edge else {"width": 0 if mark.filled else 1.5}
    found = _named(mark.name) | {"mode": "+".join(modes), "x": mark.x, "y": mark.y, "marker": marker}
    line = mark.colour if isinstance(mark.colour, str) else NEUTRAL
    if _coloured(mark):
        found |= {"showlegend": False, "legendgroup": plain(mark.name)}
    if mark.joined:
        found["line"] = {"color": line, "dash": mark.joined, "width": 2}
    for name, middles, intervals in (("error_x", mark.x, mark.x_intervals), ("error_y", mark.y, mark.y_intervals)):
        if intervals:
            found[name] = _reach(middles, intervals) | {"color": line, "thickness": 1.2, "width": 3}
    if mark.texts:
        found |= {"text": [plain(text) for text in mark.texts], "textposition": "top right"}
    if mark.cells:
        found["customdata"] = mark.cells
    else:
        found["hovertemplate"] = "%{x:.3f}, %{y:.3f}"
    return found | ({"visible": "legendonly"} if mark.aside else {})


def _coloured(mark: Points) -> bool:
    return bool(mark.name) and not isinstance(mark.colour, str)


def _for_the_legend(mark: Points) -> dict[str, Any]:
    """The name of points in many colours: theirs would be black in the legend, on a dark page too."""
    size = mark.size if not isinstance(mark.size, tuple) else max(mark.size)
    one = Points(mark.name, (None,), (None,), NEUTRAL, mark.symbol, mark.filled, size)
    return _points(one) | {"legendgroup": plain(mark.name)}


def _reach(middles: Column, intervals: Sequence[Interval | None]) -> dict[str, Any]:
    # A page says no more places than it has room for.
    down, up = (tuple(float(f"{away:.6g}") for away in side) for side in reach(middles, intervals))
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down}


def _bars(mark: Bars) -> dict[str, Any]:
    x, y = (mark.lengths, mark.places) if mark.sideways else (mark.places, mark.lengths)
    found = _named(mark.name) | {"type": "bar", "x": x, "y": y, "width": mark.thickness}
    found["marker"] = {"color": mark.colour}
    if mark.sideways:
        found["orientation"] = "h"
    if mark.texts:
        found |= {"text": [plain(text) for text in mark.texts], "textposition": "outside", "cliponaxis": False}
    return found
