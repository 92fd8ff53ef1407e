"""A metric over what was swept: as a heat map over two numbers, as curves over one."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from sweeps.charts.chart import Axis, Chart, Grid, Level, Line, Mark, Points, Scale
from sweeps.charts.palette import BASE, BETTER, NEUTRAL, PALE, SERIES, SOFT, SYMBOLS, VIRIDIS, WORSE, around
from sweeps.report.drawn_sweep import DrawnSweep, Row, cells, column, measured, rounded, value, with_words
from sweeps.report.metric_axes import intervals, metric_axis, rule_levels

# More numbers than so many can't be read in one heat map; more lines not be told apart.
MOST_NUMBERS, MOST_LINES = 100, len(SERIES)
# A heat map that is emptier than this says less than points do; a search visits few values twice.
LEAST_FILLED = 0.25
# Of a square without a cell: how far its strokes reach from the middle, and how far apart they are.
INNER, HATCHING = 0.46, (-0.6, -0.3, 0.0, 0.3, 0.6)


def map_keys(sweep: DrawnSweep) -> tuple[str, str] | None:
    """The swept numbers that a heat map is drawn over; None where fewer than two were swept."""
    if len(sweep.numeric) < 2:
        return None
    return ("alpha", "top_k") if {"alpha", "top_k"} <= set(sweep.numeric) else (sweep.numeric[0], sweep.numeric[1])


def held_keys(sweep: DrawnSweep) -> list[str]:
    """What else was swept, of which a heat map shows one value; none where too few cells share one."""
    held = [key for key in sweep.differing if key not in (map_keys(sweep) or ())]
    groups = {_held(row, held) for row in sweep.rows}
    return held if len(sweep.rows) >= 4 * len(groups) else []


def held_rows(sweep: DrawnSweep) -> dict[tuple[str, ...], list[Row]]:
    """The cells by what of `held_keys` they share."""
    keys = held_keys(sweep)
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in sweep.rows:
        groups.setdefault(_held(row, keys), []).append(row)
    return groups


def _held(row: Row, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(row["keys"].get(key, "–")) for key in keys)


def map_chart(sweep: DrawnSweep, metric: str, rows: Sequence[Row]) -> Chart | None:
    """A metric of some cells over two swept numbers: squares, or points where most squares would be empty
    or some have to hold several cells.

    Args:
        sweep: two numbers were swept in it.
        metric: what colours stand for.
        rows: the cells; those that did not measure it are left out.

    Returns:
        None where no cell measured it.
    """
    keys = map_keys(sweep)
    rows = measured(rows, metric)
    if keys is None or not rows:
        return None
    scale, title = _scale(sweep, metric, rows)
    xs, ys = (sorted({row["keys"][key] for row in rows}) for key in keys)
    at = {(row["keys"][keys[0]], row["keys"][keys[1]]): row for row in rows}
    if len(at) < len(rows) or len(xs) * len(ys) * LEAST_FILLED > len(rows):
        marks = _scattered(sweep, rows, keys, metric)
        return Chart(Axis(keys[0]), Axis(keys[1]), marks, title=title, scale=scale, metrics=(metric,))
    return Chart(
        Axis(keys[0], ticks=with_words(xs), limits=(-0.5, len(xs) - 0.5)),
        Axis(keys[1], ticks=with_words(ys), limits=(-0.5, len(ys) - 0.5)),
        (_grid(at, xs, ys, metric), *_marked(sweep, at, xs, ys)),
        title=title,
        scale=scale,
        metrics=(metric,),
    )


def _scale(sweep: DrawnSweep, metric: str, rows: Sequence[Row]) -> tuple[Scale, str]:
    """Around the base, as far as the cells go that did not break the text; and what its colours mean, in words."""
    known = [value(row, metric) for row in rows if not row["broken"]] or [value(row, metric) for row in rows]
    bases = sweep.bases(metric)
    if len(bases) != 1:
        return Scale(metric, min(known), max(known), VIRIDIS), ""
    [(base,)] = bases
    away = max(abs(one - base) for one in known) or 0.01
    wanted = sweep.values["wanted"].get(metric)
    lowest, highest = sweep.values["possible"][metric]
    low = base - away if lowest is None else max(lowest, base - away)
    high = base + away if highest is None else min(highest, base + away)
    ends = (WORSE, BETTER) if wanted == "maximize" else (BETTER, WORSE)
    words = f"white: base ({base:.3f})" + (", blue: better" if wanted else "")
    return Scale(metric, rounded(low), rounded(high), around(base, away, low, high, ends)), words


def _scattered(sweep: DrawnSweep, rows: Sequence[Row], keys: tuple[str, str], metric: str) -> tuple[Mark, ...]:
    marks = []
    for name, of in (("", False), (f"chosen{sweep.values['half']}", True)):
        if group := [row for row in rows if row["chosen"] is of]:
            across, up = (tuple(row["keys"][key] for row in group) for key in keys)
            form: dict[str, Any] = {"symbol": "star", "size": 15} if of else {"size": 9}
            colours = column(group, metric)
            marks.append(Points(name, across, up, colours, edge=NEUTRAL, cells=cells(group), **form))
    return tuple(marks)


def _marked(
    sweep: DrawnSweep, at: Mapping[tuple[float, float], Row], xs: Sequence[float], ys: Sequence[float]
) -> list[Mark]:
    """The chosen cell's square outlined, and squares without a cell hatched."""
    marks: list[Mark] = []
    places = {(x, y): (float(i), float(j)) for i, x in enumerate(xs) for j, y in enumerate(ys)}
    if gaps := [place for keys, place in places.items() if keys not in at]:
        marks.append(_hatched(gaps))
    for keys, row in at.items():
        if row["chosen"]:
            i, j = places[keys]
            # Inside the square, whose edges its neighbours share.
            left, right, low, high = i - 0.47, i + 0.47, j - 0.46, j + 0.46
            outline = (left, right, right, left, left), (low, low, high, high, low)
            # Of two colours, so that one of them is seen on whatever the square and the page have.
            marks.append(Line(f"chosen{sweep.values['half']}", *outline, PALE, width=6))
            marks.append(Line("", *outline, "#000000", width=2.5))
    return marks


def _hatched(squares: Sequence[tuple[float, float]]) -> Line:
    """Squares of a heat map, by their middles, with a few strokes from lower left to upper right in each."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    for i, j in squares:
        for shift in HATCHING:
            # The ends of y = x + shift within a square from -INNER to INNER.
            left, right = max(-INNER, -INNER - shift), min(INNER, INNER - shift)
            xs += [i + left, i + right, None]
            ys += [j + left + shift, j + right + shift, None]
    return Line("no cell", tuple(xs), tuple(ys), SOFT, width=1)


def _text(row: Row | None, metric: str) -> str:
    if row is None:
        return ""
    return f"{value(row, metric):.3f}" + (" ×" if row["broken"] else "")


def _grid(at: Mapping[tuple[float, float], Row], xs: Sequence[float], ys: Sequence[float], metric: str) -> Grid:
    squares = {place: at.get(place) for place in product(xs, ys)}
    values = tuple(tuple(value(row, metric) if (row := squares[x, y]) else None for x in xs) for y in ys)
    ids = tuple(tuple(row["cell"] if (row := squares[x, y]) else None for x in xs) for y in ys)
    texts = tuple(tuple(_text(squares[x, y], metric) for x in xs) for y in ys)
    return Grid(values, ids, texts if len(squares) <= MOST_NUMBERS else ())


def _by_values(rows: Sequence[Row], keys: Sequence[str]) -> dict[tuple[str, ...], list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row["keys"].get(key)) for key in keys), []).append(row)
    return groups


def _named(groups: Mapping[tuple[str, ...], list[Row]], keys: Sequence[str]) -> dict[str, list[Row]]:
    """Groups by the values of keys, called by no more of these than tell them from each other.

    The method is one, since what else differs follows from it; then whichever key tells the most apart.
    """

    def parts(places: Sequence[int]) -> int:
        return len({tuple(values[place] for place in places) for values in groups})

    taken = [place for place, key in enumerate(keys) if key == "method"]
    while parts(taken) < len(groups):
        left = (place for place in range(len(keys)) if place not in taken)
        taken.append(max(left, key=lambda place: parts([*taken, place])))
    return {
        " ".join(f"{keys[place]}={values[place]}" for place in sorted(taken) if values[place] != str(None)): group
        for values, group in groups.items()
    }


def curve_chart(sweep: DrawnSweep, metric: str, key: str) -> Chart | None:
    """A metric over one swept number, a line for each of what else was swept, with 95 % intervals and the base.

    Where there are more than MOST_LINES, as in a search, all cells are points without lines.

    Returns:
        None where no cell measured it.
    """
    rows = [row for row in measured(sweep.rows, metric) if key in row["keys"]]
    if not rows:
        return None
    beside = [other for other in sweep.differing if other != key]
    groups = _by_values(rows, beside)
    told_apart = len(groups) <= MOST_LINES
    lines = _named(groups, beside) if told_apart else {"": rows}
    axis = metric_axis(sweep, metric, rows)
    marks: list[Mark] = [*rule_levels(sweep, metric, axis, "y")]
    marks += [
        Level("base" if index == 0 else "", "y", level, BASE) for index, (level,) in enumerate(sweep.bases(metric))
    ]
    for index, (name, group) in enumerate(lines.items()):
        group.sort(key=lambda row: row["keys"][key])
        marks.append(
            Points(
                name,
                tuple(row["keys"][key] for row in group),
                column(group, metric),
                SERIES[index],
                SYMBOLS[index],
                size=6,
                joined="solid" if told_apart else None,
                y_intervals=intervals(sweep, group, metric),
                cells=cells(group),
            )
        )
    return Chart(Axis(key), axis, tuple(marks), metrics=(metric,))
