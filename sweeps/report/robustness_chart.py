"""How a behavior comes back: a metric over the steps of a short training, of the base and of each cell."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from evaluation.robustness.relearned_names import metric_and_steps
from sweeps.charts.chart import Axis, Chart, Mark, Points
from sweeps.charts.palette import BASE, SERIES, SYMBOLS
from sweeps.records.metric import half_of, key_of, name_of
from sweeps.records.told_keys import setting_text
from sweeps.report.drawn_sweep import DrawnSweep, Row, column, measured
from sweeps.report.metric_axes import better_in_words

# More lines than so many can't be told apart.
MOST_LINES = len(SERIES)
Curves = Mapping[str, Mapping[int, str]]


def relearned(sweep: DrawnSweep) -> Curves:
    """{metric that was measured after a short training: {steps: what it is called after so many}}, steps rising.

    After 0 steps it is the metric itself, where that was measured.
    """
    found: dict[str, dict[int, str]] = {}
    for key in sweep.values["metrics"]:
        metric, steps = metric_and_steps(name_of(key))
        if metric != name_of(key):
            found.setdefault(key_of(metric, half_of(key)), {})[steps] = key
    for metric, after in found.items():
        if metric in sweep.values["metrics"]:
            after.setdefault(0, metric)
    return {metric: dict(sorted(after.items())) for metric, after in found.items()}


def robustness_chart(sweep: DrawnSweep, metric: str, after: Mapping[int, str]) -> Chart | None:
    """A metric over steps, a line a cell with 95 % intervals of its change from the base after the same steps.

    Where there are more cells than lines can be told apart, the chosen cell alone is drawn, or the first.

    Args:
        sweep: the cells.
        metric: that was measured again.
        after: of `relearned`.

    Returns:
        None where no cell measured it.
    """
    rows = [row for row in sweep.rows if _measured(row, after)]
    if not rows:
        return None
    drawn = rows if len(rows) <= MOST_LINES else [sweep.first if sweep.first in rows else rows[0]]
    keys = _telling(sweep, rows)
    marks: list[Mark] = [_line(sweep, row, after, index, keys) for index, row in enumerate(drawn)]
    # Over the others, which may lie on it.
    marks += [
        Points("base" if index == 0 else "", tuple(after), base, BASE, filled=False, size=6, joined="dash")
        for index, base in enumerate(sweep.bases(*after.values()))
    ]
    title = "" if drawn is rows else f"one of {len(rows)} cells"
    steps, up = Axis("steps of training on the behavior"), Axis(metric + better_in_words(sweep, metric))
    return Chart(steps, up, tuple(marks), title, metrics=(*after.values(),))


def _measured(row: Row, after: Mapping[int, str]) -> dict[int, str]:
    return {steps: key for steps, key in after.items() if measured([row], key)}


def _telling(sweep: DrawnSweep, rows: Sequence[Row]) -> tuple[str, ...]:
    """The fewest of the swept keys that no two cells share the values of: names of lines have to be short."""
    for size in range(len(sweep.differing) + 1):
        for keys in combinations(sweep.differing, size):
            if len({str([row["keys"].get(key) for key in keys]) for row in rows}) == len(rows):
                return keys
    return tuple(sweep.differing)


def _line(sweep: DrawnSweep, row: Row, after: Mapping[int, str], index: int, keys: Sequence[str]) -> Points:
    known = _measured(row, after)
    return Points(
        setting_text(row["keys"], keys) or row["cell"],
        tuple(known),
        tuple(one for key in known.values() for one in column([row], key)),
        SERIES[index],
        SYMBOLS[index],
        size=6,
        joined="solid",
        y_intervals=tuple(sweep.interval(row, key) for key in known.values()),
        cells=(row["cell"],) * len(known),
    )
