"""What a figure shows: marks over two axes, with all their numbers, colours and words.

Whatever draws a `Chart` computes nothing: `sweeps.charts.pictures` writes it as PNG and SVG, by matplotlib, and
`sweeps.charts.plotly_figure` makes the JSON of it that plotly shows in a page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

# Numbers of one mark; where one is None, nothing is drawn.
Column: TypeAlias = tuple[float | None, ...]
Interval: TypeAlias = tuple[float, float]
Dash: TypeAlias = Literal["solid", "dash", "dot"]
Symbol: TypeAlias = Literal[
    "circle", "square", "diamond", "triangle", "hexagon", "pentagon", "plus", "wedge", "star", "cross"
]


@dataclass(frozen=True)
class Axis:
    """One of the two axes.

    Attributes:
        label: its words.
        log: whether it is logarithmic.
        limits: the lowest and the highest value that is drawn; None: what the marks need.
        ticks: (place, words); none: as the drawer sees fit.
        downward: whether low values are at the top.
        upright: whether the words of its ticks are turned, to have room side by side.
    """

    label: str
    log: bool = False
    limits: Interval | None = None
    ticks: tuple[tuple[float, str], ...] = ()
    downward: bool = False
    upright: bool = False


@dataclass(frozen=True)
class Scale:
    """Colours that stand for numbers.

    Attributes:
        label: what the numbers are; where it is empty, the scale is not drawn beside the chart.
        low, high: the numbers of the first and the last colour; what lies beyond has the colour of the end.
        stops: (share of the way from low to high, `#rrggbb`), from (0, …) to (1, …).
    """

    label: str
    low: float
    high: float
    stops: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Points:
    """Points, or points joined by a line.

    Attributes:
        name: in the legend; none where it is empty.
        x, y: of n points.
        colour: one for all, or n numbers on the chart's scale.
        symbol, filled: the form, and whether it is solid or an outline.
        size: across, in points of 1/72 inch; one for all, or n.
        edge: the colour of the outline of a filled form; none where it is empty.
        joined: how the line from point to point is drawn; None: there is none.
        x_intervals, y_intervals: n pairs of ends, drawn as bars; None where a point has none. Empty: no point has.
        texts: n, written beside the points; or none.
        cells: n ids of what the points stand for; or none. A page tells of the cell that is pointed at.
        aside: whether it is left out of files, and out of a page until its name in the legend is clicked.
    """

    name: str
    x: Column
    y: Column
    colour: str | Column
    symbol: Symbol = "circle"
    filled: bool = True
    size: float | tuple[float, ...] = 7.5
    edge: str = ""
    joined: Dash | None = None
    x_intervals: tuple[Interval | None, ...] = ()
    y_intervals: tuple[Interval | None, ...] = ()
    texts: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    aside: bool = False

    def __post_init__(self) -> None:
        each: list[tuple[object, ...]] = [self.x_intervals, self.y_intervals, self.texts, self.cells]
        each += [part for part in (self.colour, self.size) if isinstance(part, tuple)]
        _equally_long(self.x, self.y, *(part for part in each if part))


@dataclass(frozen=True)
class Line:
    """A line through n places."""

    name: str
    x: Column
    y: Column
    colour: str
    dash: Dash = "solid"
    width: float = 1.5

    def __post_init__(self) -> None:
        _equally_long(self.x, self.y)


@dataclass(frozen=True)
class Level:
    """A straight line across the whole chart.

    Attributes:
        name: in the legend; none where it is empty.
        axis: `x` for a vertical line, `y` for a horizontal one.
        value: where it crosses that axis.
    """

    name: str
    axis: Literal["x", "y"]
    value: float
    colour: str
    dash: Dash = "dash"
    width: float = 1.3


@dataclass(frozen=True)
class Bars:
    """Bars from zero.

    Attributes:
        name: in the legend; none where it is empty.
        places: the middles of n bars.
        lengths: of the bars.
        thickness: of each, in units of the axis they stand on.
        sideways: whether they stand on the y axis.
        texts: n, written at their ends; or none.
    """

    name: str
    places: Column
    lengths: Column
    thickness: float
    colour: str
    sideways: bool = False
    texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _equally_long(self.places, self.lengths, *([self.texts] if self.texts else []))


@dataclass(frozen=True)
class Grid:
    """A heat map: squares at 0, 1, 2, … of both axes, in the colours of the chart's scale.

    Attributes:
        values: m rows of n, the first at y = 0.
        cells: as `values`, ids of what the squares stand for; or none.
        texts: as `values`, written in the squares; or none.
    """

    values: tuple[Column, ...]
    cells: tuple[tuple[str | None, ...], ...] = ()
    texts: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        for rows in (self.cells, self.texts):
            if rows:
                _equally_long(self.values, rows)
        _equally_long(*self.values, *self.cells, *self.texts)


Mark: TypeAlias = Points | Line | Level | Bars | Grid


@dataclass(frozen=True)
class Chart:
    """A figure, or one panel of it.

    Attributes:
        x, y: its axes.
        marks: in the order they are drawn, one over the other.
        title: above it.
        scale: what the numbers in colours mean.
        metrics: what a page tells of a cell that is pointed at.
    """

    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    title: str = ""
    scale: Scale | None = None
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        coloured = any(isinstance(mark, Grid) or isinstance(getattr(mark, "colour", ""), tuple) for mark in self.marks)
        if coloured and self.scale is None:
            raise ValueError("a mark's colours are numbers, but the chart has no scale for them")


def reach(middles: Column, intervals: Sequence[Interval | None]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """How far each interval goes down and up from its middle; 0 where there is none."""
    down, up = (
        tuple(
            0.0 if ends is None or middle is None else max(0.0, sign * (ends[side] - middle))
            for middle, ends in zip(middles, intervals, strict=True)
        )
        for side, sign in ((0, -1), (1, 1))
    )
    return down, up


def _equally_long(*parts: tuple[object, ...]) -> None:
    lengths = {len(part) for part in parts}
    if len(lengths) > 1:
        raise ValueError(f"parts of one mark are of different lengths: {sorted(lengths)}")
