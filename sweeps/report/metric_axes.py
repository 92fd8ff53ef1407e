"""The axis of a metric: from where to where, in which words, and what lies beyond."""

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal

from sweeps.charts.chart import Axis, Column, Interval, Level
from sweeps.charts.palette import SOFT
from sweeps.records.metric import name_of
from sweeps.report.drawn_sweep import BASE, DrawnSweep, Row, column, rounded

# A perplexity is drawn on a logarithmic axis, on which equal ratios are equally long: a ratio is what an edit costs.
LOGARITHMIC = "perplexity/"
# Cells that broke the text and limits of the rule are drawn where they lie at most this much of the others' span away.
NEAR = 0.5
MARGIN, EDGE = 0.06, 0.02
# The digits of round numbers on a logarithmic axis, and of steps where it spans too little for those.
ROUND, STEPS = ((1, 2, 5), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)), (1, 2, 5)
FEWEST_TICKS, MOST_TICKS = 4, 8


def metric_axis(sweep: DrawnSweep, metric: str, with_intervals: Sequence[Row] = ()) -> Axis:
    """An axis that has room for all cells that did not break the text, and for the base.

    Args:
        sweep: of the cells.
        metric: what is drawn.
        with_intervals: the cells whose intervals are drawn too.
    """
    sound = [*sweep.sound, *sweep.chosen] or sweep.broken
    ends = chain.from_iterable(sweep.interval(row, metric) or () for row in with_intervals if not row["broken"])
    values = [*_known(chain(column(sound, metric), column(sweep.rows, metric, BASE))), *ends]
    label = metric + better_in_words(sweep, metric)
    if not values:
        return Axis(label)
    log = name_of(metric).startswith(LOGARITHMIC) and min(values) > 0
    low, high = _scaled(min(values), log), _scaled(max(values), log)
    room = NEAR * (high - low)
    beside = [*_known(column(sweep.broken, metric)), *(value for _, value in _limits(sweep, metric))]
    scaled = [_scaled(value, log) for value in beside if value > 0 or not log]
    near = [low, high, *(value for value in scaled if low - room <= value <= high + room)]
    margin = MARGIN * (max(near) - min(near)) or 0.05 * abs(high) or 0.05
    limits = tuple(rounded(10**end if log else end) for end in (min(near) - margin, max(near) + margin))
    return Axis(label, log, (limits[0], limits[1]), _round_ticks(limits[0], limits[1]) if log else ())


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _scaled(value: float, log: bool) -> float:
    return math.log10(value) if log else value


def better_in_words(sweep: DrawnSweep, metric: str) -> str:
    """Which way of a metric is the better one, to stand behind its name; empty where nobody knows."""
    wanted = sweep.values["wanted"].get(metric)
    return {"minimize": " (lower is better)", "maximize": " (higher is better)"}.get(wanted, "")


def _round_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Of a logarithmic axis."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ROUND:
        # By its digits: 10**-1 times 3 is not 0.3.
        places = [float(f"{digit}e{power}") for power in powers for digit in digits]
        found = [place for place in places if low <= place <= high]
        if len(found) >= FEWEST_TICKS:
            break
    else:
        found = _equal_steps(low, high)
    return tuple((place, f"{place:g}") for place in found)


def _equal_steps(low: float, high: float) -> list[float]:
    """Multiples of the smallest round step that gives no more ticks than can be read."""
    power = math.floor(math.log10((high - low) / MOST_TICKS))
    steps = [float(f"{digit}e{exponent}") for exponent in (power, power + 1) for digit in STEPS]
    step = next(one for one in steps if (high - low) / one <= MOST_TICKS)
    return [rounded(number * step) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def beyond(values: Column, axis: Axis) -> tuple[bool, ...]:
    """Which of the values the axis has no room for."""
    low, high = axis.limits or (-math.inf, math.inf)
    return tuple(value is not None and not low <= value <= high for value in values)


def at_the_edge(values: Column, axis: Axis) -> Column:
    """The values, those beyond the axis just within its ends."""
    if axis.limits is None:
        return values
    low, high = (_scaled(end, axis.log) for end in axis.limits)
    inner = [end + sign * EDGE * (high - low) for end, sign in ((low, 1), (high, -1))]
    lowest, highest = (rounded(10**end if axis.log else end) for end in inner)
    return tuple(None if value is None else min(highest, max(lowest, value)) for value in values)


def rule_levels(sweep: DrawnSweep, metric: str, axis: Axis, along: Literal["x", "y"]) -> list[Level]:
    """The limits that the rule of choice sets to a metric, those beyond the axis aside."""
    low, high = axis.limits or (-math.inf, math.inf)
    drawn = [(words, value) for words, value in _limits(sweep, metric) if low <= value <= high]
    names = dict.fromkeys(words for words, _ in drawn)
    return [
        Level(words if names.pop(words, 0) is None else "", along, value, SOFT, dash="dash") for words, value in drawn
    ]


def _limits(sweep: DrawnSweep, metric: str) -> list[tuple[str, float]]:
    """In words, and where they lie: those of a change or a ratio beside each base."""
    found = []
    for limit in sweep.values["limits"]:
        if limit["metric"] != name_of(metric):
            continue
        bases = [base for (base,) in sweep.bases(metric)]
        places = {
            "edited": [limit["bound"]],
            "delta": [base + limit["bound"] for base in bases],
            "ratio": [base * limit["bound"] for base in bases],
        }
        found += [(f"rule: {limit['words']}", rounded(place)) for place in places.get(limit["of"], [])]
    return found


def intervals(sweep: DrawnSweep, rows: Sequence[Row], metric: str) -> tuple[Interval | None, ...]:
    """Those of some cells; none where no cell has one."""
    found = tuple(sweep.interval(row, metric) for row in rows)
    return found if any(found) else ()
