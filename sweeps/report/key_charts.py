"""A metric over what was swept: as a heat map over two numbers, as curves over one."""

from collections.abc import Mapping, Sequence
from itertools import product

from sweeps.charts.chart import Axis, Chart, Grid, Level, Mark, Points, Scale
from sweeps.charts.palette import BASE, SERIES, SYMBOLS, VIRIDIS
from sweeps.report.drawn_sweep import DrawnSweep, Row, cells, column, value, with_words

# More numbers than so many can't be read in one heat map; more lines not be told apart.
MOST_NUMBERS, MOST_LINES = 100, len(SERIES)
# A heat map that is emptier than this says less than points do; a search visits few values twice.
LEAST_FILLED = 0.25


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
    rows = [row for row in rows if column([row], metric)[0] is not None]
    if keys is None or not rows:
        return None
    known = [value(row, metric) for row in rows]
    scale = Scale(metric, min(known), max(known), VIRIDIS)
    xs, ys = (sorted({row["keys"][key] for row in rows}) for key in keys)
    at = {(row["keys"][keys[0]], row["keys"][keys[1]]): row for row in rows}
    if len(at) < len(rows) or len(xs) * len(ys) * LEAST_FILLED > len(rows):
        across, up = (tuple(row["keys"][key] for row in rows) for key in keys)
        marks: tuple[Mark, ...] = (Points("", across, up, column(rows, metric), size=9, cells=cells(rows)),)
        return Chart(Axis(keys[0]), Axis(keys[1]), marks, scale=scale, metrics=(metric,))
    return Chart(
        Axis(keys[0], ticks=with_words(xs), limits=(-0.5, len(xs) - 0.5)),
        Axis(keys[1], ticks=with_words(ys), limits=(-0.5, len(ys) - 0.5)),
        (_grid(at, xs, ys, metric),),
        scale=scale,
        metrics=(metric,),
    )


def _grid(at: Mapping[tuple[float, float], Row], xs: Sequence[float], ys: Sequence[float], metric: str) -> Grid:
    squares = {place: at.get(place) for place in product(xs, ys)}
    values = tuple(tuple(value(row, metric) if (row := squares[x, y]) else None for x in xs) for y in ys)
    ids = tuple(tuple(row["cell"] if (row := squares[x, y]) else None for x in xs) for y in ys)
    texts = tuple(tuple("" if one is None else f"{one:.3f}" for one in line) for line in values)
    return Grid(values, ids, texts if len(squares) <= MOST_NUMBERS else ())


def curve_chart(sweep: DrawnSweep, metric: str, key: str) -> Chart | None:
    """A metric over one swept number, a line for each of what else was swept, with 95 % intervals and the base.

    Where there are more than MOST_LINES, as in a search, all cells are points without lines.

    Returns:
        None where no cell measured it.
    """
    rows = [row for row in sweep.rows if column([row], metric)[0] is not None and key in row["keys"]]
    beside = [other for other in sweep.differing if other != key]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(" ".join(f"{other}={row['keys'].get(other)}" for other in beside), []).append(row)
    if not groups:
        return None
    lines = {"": rows} if len(groups) > MOST_LINES else groups
    marks: list[Mark] = [
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
                joined="solid" if lines is groups else None,
                y_intervals=tuple(sweep.interval(row, metric) for row in group),
                cells=cells(group),
            )
        )
    return Chart(Axis(key), sweep.axes[metric], tuple(marks), metrics=(metric,))
