"""A figure is said once: what matplotlib draws and what plotly is given are the same numbers and the same words."""

import math
import re
from collections.abc import Iterator
from html import unescape
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from sweeps.charts.chart import Axis, Bars, Chart, Grid, Level, Line, Points, Scale
from sweeps.charts.pictures import draw, save_charts
from sweeps.charts.plotly_figure import plotly_figure
from sweeps.records.choice import Choice
from sweeps.records.record import load_records
from sweeps.report.contents import contents
from sweeps.report.page_charts import page_charts
from sweeps.report.shared_parts import SharedParts

HOSTILE = "<b>$x_{ & [red]</b>"
EVERY_MARK = Chart(
    Axis("across", log=True, limits=(0.5, 20), ticks=((1, "one"), (10, "ten"))),
    Axis("up", limits=(-1, 4), downward=True),
    (
        Bars("bars", (1, 2, 5), (1, None, 3), 0.5, "#123456", texts=("a", "", "c")),
        Line("line", (1, 2, 3), (0, 1, None), "#00ff00", dash="dot"),
        Level("level", "y", 1.5, "#0000ff"),
        Level("", "x", 2.5, "#0000ff"),
        Points("hollow", (1, 3), (2, None), "#ff0000", filled=False, joined="solid", y_intervals=((1, 2.5), None)),
        Points(HOSTILE, (2, 4), (1, 3), (0.0, 10.0), symbol="star", size=(5, 9), texts=("p", "q"), cells=("k", "l")),
    ),
    title=HOSTILE,
    scale=Scale("number", 0, 10, ((0, "#000000"), (1, "#ffffff"))),
)
MAP = Chart(
    Axis("x", ticks=((0, "1"), (1, "2"))),
    Axis("y"),
    (Grid(((1.0, None), (2.0, 3.0)), (("a", None), ("c", "d")), (("1", ""), ("2", "3"))),),
    scale=Scale("z", 1, 3, ((0, "#000000"), (1, "#ffffff"))),
)


@pytest.fixture
def charts(made_sweep: Path) -> list[Chart]:
    """All of a sweep's page."""
    choice = Choice.parse({"minimize": "toxicity/toxic_rate", "where": ["perplexity/story/ratio<=1.5"]})
    found = contents("made", made_sweep, load_records(made_sweep), choice)
    return [chart for place in page_charts(found.values).values() for chart in place.charts.values() if chart]


def axes_of(chart: Chart) -> Axes:
    axes: Axes = Figure().subplots()
    draw(axes, chart)
    return axes


def known(xs: Any, ys: Any) -> list[tuple[float, float]]:
    """Points that are drawn, in order."""
    pairs = ((math.nan if value is None else float(value) for value in pair) for pair in zip(xs, ys, strict=True))
    return sorted((x, y) for x, y in pairs if not math.isnan(x + y))


def drawn_points(axes: Axes) -> list[list[tuple[float, float]]]:
    scattered = [artist for artist in axes.collections if isinstance(artist, PathCollection)]
    return sorted(filter(None, (known(*np.ma.getdata(artist.get_offsets()).T) for artist in scattered)))


def said_points(figure: dict[str, Any]) -> list[list[tuple[float, float]]]:
    traces = [trace for trace in figure["data"] if "markers" in trace.get("mode", "") and "visible" not in trace]
    # Those without a point stand for a name in the legend.
    return sorted(filter(None, (known(trace["x"], trace["y"]) for trace in traces)))


def drawn_lines(axes: Axes) -> list[list[tuple[float, float]]]:
    # Levels are lines too, over a share of the axes.
    lines = [line for line in axes.lines if isinstance(line, Line2D) and line.get_transform() == axes.transData]
    return sorted(known(line.get_xdata(), line.get_ydata()) for line in lines if line.get_linestyle() != "None")


def said_lines(figure: dict[str, Any]) -> list[list[tuple[float, float]]]:
    traces = [trace for trace in figure["data"] if "lines" in trace.get("mode", "") and "visible" not in trace]
    return sorted(known(trace["x"], trace["y"]) for trace in traces)


def drawn_bars(axes: Axes) -> list[tuple[float, float]]:
    return sorted(
        (round(bar.get_x() + bar.get_width() / 2, 9), bar.get_height())
        if bar.get_y() == 0
        else (bar.get_width(), round(bar.get_y() + bar.get_height() / 2, 9))
        for bar in axes.patches
        if isinstance(bar, Rectangle) and not math.isnan(bar.get_height() + bar.get_width())
    )


def said_bars(figure: dict[str, Any]) -> list[tuple[float, float]]:
    traces = [trace for trace in figure["data"] if trace.get("type") == "bar"]
    return sorted(chain.from_iterable(known(trace["x"], trace["y"]) for trace in traces))


def said_words(figure: dict[str, Any]) -> Iterator[str]:
    layout = figure["layout"]
    yield layout.get("title", {}).get("text", "")
    yield layout.get("coloraxis", {}).get("colorbar", {}).get("title", {}).get("text", "")
    for axis in (layout["xaxis"], layout["yaxis"]):
        yield axis["title"]["text"]
        yield from axis.get("ticktext", ())
    for part in (*figure["data"], *layout.get("shapes", ())):
        if part.get("visible") != "legendonly":
            yield part.get("name", "")
            for text in part.get("text", ()):
                yield from [text] if isinstance(text, str) else text


def drawn_words(axes: Axes) -> Iterator[str]:
    yield axes.get_title()
    assert axes.figure is not None
    yield from (other.get_ylabel() for other in axes.figure.axes if other is not axes)
    yield from (axes.get_xlabel(), axes.get_ylabel(), *axes.get_legend_handles_labels()[1])
    yield from (text.get_text() for text in axes.texts)


def test_both_drawers_have_the_same_numbers_and_words(charts: list[Chart]) -> None:
    assert len(charts) > 15
    for chart in [*charts, EVERY_MARK, MAP]:
        axes, figure = axes_of(chart), plotly_figure(chart)
        assert drawn_points(axes) == said_points(figure)
        assert drawn_lines(axes) == said_lines(figure)
        assert [*chain(*drawn_bars(axes))] == pytest.approx([*chain(*said_bars(figure))])
        # What matplotlib adds to the words are the ticks that it chose; those that were given are among them.
        words = {unescape(word) for word in said_words(figure)} - {""}
        given = {text for axis in (chart.x, chart.y) for _, text in axis.ticks}
        ticks = {label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())}
        assert set(drawn_words(axes)) - {""} == words - (given - set(drawn_words(axes)))
        assert given <= ticks & words


def test_both_drawers_have_the_same_limits_scales_and_levels(charts: list[Chart]) -> None:
    for chart in [*charts, EVERY_MARK]:
        axes, layout = axes_of(chart), plotly_figure(chart)["layout"]
        for axis, drawn, said in (
            (chart.x, axes.get_xlim(), layout["xaxis"]),
            (chart.y, axes.get_ylim(), layout["yaxis"]),
        ):
            assert (said.get("type") == "log") is axis.log
            if axis.limits:
                ends = [10**end if axis.log else end for end in said["range"]]
                assert drawn == pytest.approx(ends)
                assert sorted(drawn) == pytest.approx(axis.limits)
        levels = sorted((mark.axis, mark.value) for mark in chart.marks if isinstance(mark, Level))
        shapes = [(shape, "y" if "xref" in shape else "x") for shape in layout.get("shapes", ())]
        assert sorted((axis, shape[f"{axis}0"]) for shape, axis in shapes) == levels
        assert all(shape[f"{axis}0"] == shape[f"{axis}1"] for shape, axis in shapes)
        across = [line for line in axes.lines if line.get_transform() != axes.transData]
        drawn_at = [
            ("x", line.get_xdata()[0])
            if line.get_transform() == axes.get_xaxis_transform(which="grid")
            else ("y", line.get_ydata()[0])
            for line in across
        ]
        assert sorted(drawn_at) == levels


def test_forms_colours_and_intervals_are_those_that_were_said() -> None:
    axes, figure = axes_of(EVERY_MARK), plotly_figure(EVERY_MARK)
    hollow, stars = (artist for artist in axes.collections if isinstance(artist, PathCollection))
    assert len(hollow.get_facecolor()) == 0 and to_hex(hollow.get_edgecolor()[0]) == "#ff0000"
    # The ends of the scale.
    assert [to_hex(colour) for colour in stars.get_facecolor()] == ["#000000", "#ffffff"]
    assert list(stars.get_sizes()) == [25, 81]
    by_name = {trace.get("name"): trace for trace in figure["data"] if any(value is not None for value in trace["x"])}
    assert by_name["hollow"]["marker"]["symbol"] == "circle-open"
    assert by_name["hollow"]["error_y"]["array"] == (0.5, 0)
    assert by_name["hollow"]["error_y"]["arrayminus"] == (1, 0)
    star = by_name["&lt;b&gt;$x_{ &amp; [red]&lt;/b&gt;"]
    assert star["marker"]["color"] == (0, 10) and star["customdata"] == ("k", "l")
    assert figure["layout"]["coloraxis"]["colorscale"] == ((0, "#000000"), (1, "#ffffff"))
    [image] = axes_of(MAP).images
    assert image.get_array().filled(0).tolist() == [[1, 0], [2, 3]]
    [heat] = plotly_figure(MAP)["data"]
    assert heat["z"] == ((1, None), (2, 3)) and heat["customdata"] == (("a", None), ("c", "d"))


def test_a_chart_that_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"different lengths: \[1, 2\]"):
        Points("", (1,), (1, 2), "#000000")
    with pytest.raises(ValueError, match="different lengths"):
        Grid(((1,), (1, 2)))
    with pytest.raises(ValueError, match="no scale"):
        Chart(Axis(""), Axis(""), (Points("", (1,), (1,), (1.0,)),))


def test_words_are_drawn_as_they_are(tmp_path: Path) -> None:
    _, svg = save_charts(tmp_path, HOSTILE, [EVERY_MARK, MAP], widths=(2, 1))
    assert svg.name == "_b_x__red_b_.svg"
    # Matplotlib writes the characters of every text it draws as shapes, and the text as a comment.
    assert f"<!-- {HOSTILE} -->" in unescape(svg.read_text())


def test_many_names_below_take_no_room_from_the_chart(tmp_path: Path) -> None:
    def height(names: int) -> float:
        """Of the field within the axes, in points."""
        marks = tuple(Points(f"name {one}", (1, 2), (one, one), "#000000") for one in range(names))
        save_charts(tmp_path, f"{names}", [Chart(Axis("across"), Axis("toxicity/toxic_rate (lower is better)"), marks)])
        field = re.search(r'id="patch_2">\s*<path d="([^"]+)"', (tmp_path / f"{names}.svg").read_text())
        assert field
        down = [float(y) for _, y in re.findall(r"[ML] (\S+) (\S+)", field[1])]
        return max(down) - min(down)

    assert height(18) == pytest.approx(height(8), rel=0.02)


@pytest.mark.parametrize("name", ["rate", "guard/words_first_person/listed_rate", "guard/" + "long_name" * 12])
def test_the_words_of_an_axis_are_never_cut_off(tmp_path: Path, name: str) -> None:
    marks = tuple(Points(f"name {number}", (1.0, 2.0), (1.0, 2.0), "#ff0000") for number in range(6))
    chart = Chart(Axis("x"), Axis(f"{name} (lower is better)"), marks)
    picture, _ = save_charts(tmp_path, "long", [chart])
    drawn = imread(picture)[..., :3]
    for edge in (drawn[:2], drawn[-2:], drawn[:, :2], drawn[:, -2:]):
        assert (edge == 1).all()
    # The words are there: dark at the left, where nothing else is.
    assert (drawn[:, : drawn.shape[1] // 20] < 0.5).any()


@pytest.mark.parametrize("count", [2, 6])
def test_long_names_are_never_cut_off(tmp_path: Path, count: int) -> None:
    names = [f"line {number} " + " ".join(f"key{key}=value" for key in range(18)) for number in range(count)]
    marks = tuple(Points(name, (1.0, 2.0), (1.0, 2.0), "#ff0000") for name in names)
    picture, written = save_charts(tmp_path, "long", [Chart(Axis("x"), Axis("y"), marks)])
    drawn = imread(picture)[..., :3]
    for edge in (drawn[:2], drawn[-2:], drawn[:, :2], drawn[:, -2:]):
        assert (edge == 1).all()
    field = re.search(r'id="patch_2">\s*<path d="([^"]+)"', written.read_text())
    assert field
    down = [float(y) for _, y in re.findall(r"[ML] (\S+) (\S+)", field[1])]
    assert max(down) - min(down) > 150, "and there is room for what is drawn"


def test_equal_parts_are_said_once_and_read_back_whole() -> None:
    column = tuple(range(100, 150))
    value = {"a": {"x": column, "y": column, "title": "t"}, "b": [{"x": column}, None, "short", [1, 2]]}
    shared = SharedParts()
    short = shared.take(value)

    def whole(part: Any) -> Any:
        found = shared.parts[part["$"]] if isinstance(part, dict) and "$" in part else part
        if isinstance(found, dict):
            return {name: whole(inner) for name, inner in found.items()}
        return [whole(inner) for inner in found] if isinstance(found, list) else found

    def listed(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: listed(inner) for name, inner in part.items()}
        return [listed(inner) for inner in part] if isinstance(part, list | tuple) else part

    assert whole(short) == listed(value)
    assert shared.parts.count(list(column)) == 1
