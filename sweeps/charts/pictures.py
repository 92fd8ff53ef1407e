"""Charts as PNG and SVG, drawn by matplotlib."""

import math
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgery.files.whole_files import written_whole
from sweeps.charts.chart import Axis, Bars, Chart, Column, Grid, Level, Line, Points, Scale, reach
from sweeps.charts.palette import NEUTRAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle": "^",
    "hexagon": "h",
    "pentagon": "p",
    "plus": "P",
    "wedge": "v",
    "star": "*",
    "cross": "x",
}
# More names would lie over the marks: they are written below.
MOST_INSIDE = 5
# Of those, so many rows have room in a picture's size; for each further one it grows, in inches.
ROWS_IN_SIZE, ROW = 4, 0.2
# Characters of a name that an inch holds, and how many a mark takes.
AN_INCH, A_MARK = 14, 6
DASHES = {"solid": "-", "dash": "--", "dot": ":"}


def save_charts(
    folder: Path,
    name: str,
    charts: Sequence[Chart],
    *,
    size: tuple[float, float] = (7.2, 4.5),
    widths: Sequence[float] | None = None,
    heading: str = "",
) -> list[Path]:
    """Draws charts side by side and writes PNG and SVG, each whole or not at all; the files.

    Args:
        folder: made where it is not there.
        name: of the files.
        charts: from the left.
        size: in inches.
        widths: of the charts, relative to one another; equal where none are given.
        heading: above one legend for all charts; none, and each has its own, where it is empty.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^\w.-]+", "_", name)
    written = []
    # Ids and dates that change nothing would make equal figures different files. What a person named is no formula.
    with mpl.rc_context(
        {
            "svg.hashsalt": stem,
            "font.size": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "text.parse_math": False,
        }
    ):
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(charts), squeeze=False, width_ratios=widths)[0]
        for axes, chart in zip(panels, charts, strict=True):
            draw(axes, chart)
        if heading:
            named = _legend(panels[0], charts[0])
            figure.legend(**named, loc="outside upper center", ncols=4, frameon=False, fontsize=9, title=heading)
        else:
            for axes, chart in zip(panels, charts, strict=True):
                _add_legend(figure, axes, chart)
        # Else each file has it laid out anew, which takes as long as drawing it.
        _lay_out(figure)
        figure.set_layout_engine("none")
        for kind in ("png", "svg"):
            path = folder / f"{stem}.{kind}"
            with written_whole(path) as temporary:
                figure.savefig(temporary, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else None)
            written.append(path)
    return written


def draw(axes: "Axes", chart: Chart) -> None:
    """Draws a chart; marks that are only for a page are left out."""
    for layer, mark in enumerate(chart.marks):
        over = 2 + layer / 100
        match mark:
            case Points():
                if not mark.aside:
                    _points(axes, mark, chart.scale, over)
            case Line():
                style: dict[str, Any] = {"color": mark.colour, "ls": DASHES[mark.dash], "lw": mark.width}
                axes.plot(_floats(mark.x), _floats(mark.y), label=mark.name or None, zorder=over, **style)
            case Level():
                across = axes.axvline if mark.axis == "x" else axes.axhline
                style = {"color": mark.colour, "ls": DASHES[mark.dash], "lw": mark.width}
                across(mark.value, label=mark.name or None, zorder=over, **style)
            case Bars():
                _bars(axes, mark, over)
            case Grid():
                _grid(axes, mark, _scale(chart))
    _set_axis(axes, "x", chart.x)
    _set_axis(axes, "y", chart.y)
    if chart.title:
        axes.set_title(chart.title, fontsize=11)
    if chart.scale and chart.scale.label and axes.figure is not None:
        axes.figure.colorbar(_mapped(chart.scale), ax=axes, label=chart.scale.label)


def _lay_out(figure: "Figure") -> None:
    """Finds the places of everything; words of an axis that would be cut off get a second line, or are smaller."""
    figure.draw_without_rendering()
    labels = [label for axes in figure.axes for label in (axes.xaxis.label, axes.yaxis.label)]
    if long := [label for label in labels if _share_of_room(figure, label) > 1]:
        for label in long:
            label.set_text(label.get_text().replace(" (", "\n(", 1))
        figure.draw_without_rendering()
    for label in long:
        label.set_fontsize(float(label.get_fontsize()) / max(_share_of_room(figure, label), 1))


def _share_of_room(figure: "Figure", label: "Text") -> float:
    """How long an axis's words are, of what there is on both sides of their middle before the picture ends."""
    box, end = label.get_window_extent(), figure.bbox
    along, whole = ((box.y0, box.y1), end.y1) if label.get_rotation() else ((box.x0, box.x1), end.x1)
    middle = sum(along) / 2
    return float((along[1] - along[0]) / (1.9 * min(middle, whole - middle)))


def _add_legend(figure: "Figure", axes: "Axes", chart: Chart) -> None:
    """A chart's own legend: within the axes where it is short, else below, where the figure grows with it."""
    named = _legend(axes, chart)
    count, across = len(named["labels"]), AN_INCH * figure.get_figwidth()
    columns = 2 if max(map(len, named["labels"]), default=0) + A_MARK <= across / 2 else 1
    if count > MOST_INSIDE or columns == 1 or (count and any(isinstance(mark, Grid) for mark in chart.marks)):
        named["labels"] = [textwrap.fill(label, int(across) - A_MARK) for label in named["labels"]]
        figure.legend(**named, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
        rows = math.ceil(sum(label.count("\n") + 1 for label in named["labels"]) / columns)
        figure.set_figheight(figure.get_figheight() + ROW * max(rows - ROWS_IN_SIZE, 0))
    elif count:
        axes.legend(**named, frameon=False, fontsize=9)


def _legend(axes: "Axes", chart: Chart) -> dict[str, Any]:
    """What was drawn under which name, in the order of the marks."""
    drawn = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    names = [mark.name for mark in chart.marks if not isinstance(mark, Grid) and mark.name in drawn]
    return {"handles": [drawn[name] for name in names], "labels": names}


def _scale(chart: Chart) -> Scale:
    assert chart.scale is not None  # `Chart` holds it
    return chart.scale


def _mapped(scale: Scale) -> Any:
    """What gives numbers their colours."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    return ScalarMappable(
        Normalize(scale.low, scale.high), LinearSegmentedColormap.from_list("scale", list(scale.stops))
    )


def _floats(column: Column) -> list[float]:
    return [math.nan if value is None else value for value in column]


def _points(axes: "Axes", mark: Points, scale: Scale | None, over: float) -> None:
    xs, ys = _floats(mark.x), _floats(mark.y)
    if isinstance(mark.colour, str):
        line, colours = mark.colour, mark.colour  # one, so that the legend has it where no point is drawn
    else:
        assert scale is not None  # `Chart` holds it
        line, colours = NEUTRAL, _mapped(scale).to_rgba(_floats(mark.colour))
    for x_ends, y_ends in ((mark.x_intervals, ()), ((), mark.y_intervals)):
        if x_ends or y_ends:
            bars: dict[str, Any] = {"ecolor": line, "elinewidth": 1.2, "capsize": 3}
            bars |= {"xerr": reach(mark.x, x_ends)} if x_ends else {"yerr": reach(mark.y, y_ends)}
            axes.errorbar(xs, ys, fmt="none", zorder=over, **bars)
    if mark.joined:
        axes.plot(xs, ys, DASHES[mark.joined], color=line, zorder=over)
    sizes = mark.size if isinstance(mark.size, tuple) else [mark.size] * len(xs)
    style: dict[str, Any] = {"marker": MARKERS[mark.symbol], "s": [size**2 for size in sizes], "zorder": over}
    if mark.symbol == "cross":
        style["c"] = colours
    else:
        style |= {"facecolors": colours if mark.filled else "none"}
        style |= {"edgecolors": (mark.edge or "none") if mark.filled else colours, "linewidths": 1.3}
    axes.scatter(xs, ys, label=mark.name or None, **style)
    for text, x, y in zip(mark.texts, xs, ys, strict=False):
        axes.annotate(text, (x, y), textcoords="offset points", xytext=(5, 4), fontsize=9, zorder=over)


def _bars(axes: "Axes", mark: Bars, over: float) -> None:
    draw_bars = axes.barh if mark.sideways else axes.bar
    style: dict[str, Any] = {"color": mark.colour, "label": mark.name or None, "zorder": over}
    bars = draw_bars(_floats(mark.places), _floats(mark.lengths), mark.thickness, **style)
    if mark.texts:
        axes.bar_label(bars, list(mark.texts), padding=3)


def _grid(axes: "Axes", mark: Grid, scale: Scale) -> None:
    import numpy as np

    values = np.array([_floats(row) for row in mark.values])
    mapped = _mapped(scale)
    axes.imshow(values, origin="lower", aspect="auto", cmap=mapped.cmap, norm=mapped.norm)
    for j, row in enumerate(mark.texts):
        for i, text in enumerate(row):
            red, green, blue, _ = mapped.to_rgba(values[j, i])
            # Relative luminance, nearly: the eye takes green for brighter than blue.
            light = 0.3 * red + 0.6 * green + 0.1 * blue > 0.5
            axes.text(i, j, text, ha="center", va="center", fontsize=9, color="black" if light else "white", zorder=4)


def _set_axis(axes: "Axes", which: str, axis: Axis) -> None:
    drawn = axes.xaxis if which == "x" else axes.yaxis
    set_limits = axes.set_xlim if which == "x" else axes.set_ylim
    drawn.set_label_text(axis.label)
    if axis.log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        drawn.set_minor_formatter("")
    if axis.ticks:
        drawn.set_ticks([place for place, _ in axis.ticks], [words for _, words in axis.ticks])
        if axis.log:
            drawn.set_ticks([], minor=True)
    if axis.upright:
        axes.tick_params(axis="x" if which == "x" else "y", rotation=90)
    if axis.limits:
        set_limits(*axis.limits)
    if axis.downward:
        drawn.set_inverted(True)
