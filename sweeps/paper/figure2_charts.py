"""The two kinds of charts of Figure 2."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sweeps.charts.chart import Axis, Bars, Chart, Grid, Level, Line, Mark, Scale
from sweeps.charts.palette import ABOVE, BELOW, around
from sweeps.paper.neuron_shift import Counts, NeuronShift
from sweeps.paper.probe_cosines import ProbeCosines

# More numbers than so many can't be read in a picture of cosines; more neurons than so many share bins.
MOST_NUMBERS, MOST_BINS = 100, 50
MOST_TICKS = 16
BEFORE, AFTER = "#b9bfc5", ABOVE


def cosine_charts(cosines: ProbeCosines) -> list[Chart]:
    """A line for each probe and set of prompts, over the layers; of several probes also probe against probe."""
    lone = len(cosines.probes) == 1
    rows = cosines.attention.reshape(-1, len(cosines.layers))
    names = [
        f"{one.name} ({one.kind})" if lone else f"{probe} · {one.name}"
        for probe in cosines.probes
        for one in cosines.sets
    ]
    title = (
        f"probe of {cosines.probes[0]} and mean attention outputs"
        if lone
        else "probes and mean attention outputs (probe · prompts)"
    )
    between = [index * len(cosines.sets) - 0.5 for index in range(1, len(cosines.probes))]
    charts = [
        Chart(
            Axis("layer", ticks=_ticks(list(map(str, cosines.layers)))),
            Axis("", ticks=_ticks(names, every=True), downward=True),
            (_grid(rows), *(Level("", "y", place, "#333333", dash="solid", width=1) for place in between)),
            title=title,
            # Where all cosines are 0, any scale will do.
            scale=_scale(float(np.abs(rows).max()) or 1.0, "cosine"),
        )
    ]
    if not lone:
        probes = _ticks(cosines.probes, every=True)
        axes = Axis("", ticks=probes, upright=True), Axis("", ticks=probes, downward=True)
        charts.append(Chart(*axes, (_grid(cosines.between),), title="probes", scale=_scale(1.0, "")))
    return charts


def _scale(limit: float, label: str) -> Scale:
    return Scale(label, -limit, limit, around(0, limit, -limit, limit, (BELOW, ABOVE)))


def _ticks(words: Sequence[str], every: bool = False) -> tuple[tuple[float, str], ...]:
    step = 1 if every else -(-len(words) // MOST_TICKS)
    return tuple((float(place), word) for place, word in enumerate(words) if place % step == 0)


def _grid(values: NDArray[np.float64]) -> Grid:
    rows = tuple(tuple(map(float, row)) for row in values)
    # Without a minus before 0.00.
    texts = tuple(tuple(f"{round(value, 2) + 0.0:+.2f}" for value in row) for row in rows)
    return Grid(rows, texts=texts if values.size <= MOST_NUMBERS else ())


def shift_charts(shifts: Sequence[NeuronShift]) -> list[Chart]:
    """Histograms of active neurons a token without and with the edit: on prompts of the behavior, and of tasks."""
    edges = _edges([counts for shift in shifts for side in (shift.before, shift.after) for counts in side])
    kinds = {kind: [shift for shift in shifts if shift.prompts.kind == kind] for kind in ("behavior", "task")}
    shares = {
        (kind, side): _shares([one for shift in of_kind for one in getattr(shift, side)], edges)
        for kind, of_kind in kinds.items()
        for side in ("before", "after")
    }
    top = 1.05 * max(float(found.max()) for found in shares.values())
    width = float(edges[1] - edges[0])
    middles = tuple(float(edge) + width / 2 for edge in edges[:-1])
    charts = []
    for kind, of_kind in kinds.items():
        before, after = (tuple(map(float, shares[kind, side])) for side in ("before", "after"))
        marks: tuple[Mark, ...] = (
            Bars("before the edit", middles, before, width, BEFORE),
            Level("", "x", _mean(of_kind, "before"), "#6f767d"),
            _outline("after", edges, after),
            Level("", "x", _mean(of_kind, "after"), AFTER),
        )
        names = ", ".join(shift.prompts.name for shift in of_kind)
        across = Axis(f"active neurons at a token, of {shifts[0].neurons:,}")
        title = f"{kind} prompts: {names}"
        charts.append(Chart(across, Axis("share of tokens", limits=(0, top)), marks, title=title))
    return charts


def _shares(counts: Sequence[Counts], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of tokens in each bin; every prompt counts alike, as in the means that are told."""
    weights = np.concatenate([np.full(len(one), 1 / (len(one) * len(counts))) for one in counts])
    return np.histogram(np.concatenate(counts), edges, weights=weights)[0]


def _mean(shifts: Sequence[NeuronShift], side: str) -> float:
    return float(np.mean([one.mean() for shift in shifts for one in getattr(shift, side)]))


def _outline(name: str, edges: NDArray[np.float64], lengths: Sequence[float]) -> Line:
    """Of bars, from the ground to the ground."""
    x = tuple(float(edge) for edge in np.repeat(edges, 2))
    y = (0.0, *(float(length) for length in np.repeat(lengths, 2)), 0.0)
    return Line(name, x, y, AFTER, width=1.8)


def _edges(counts: Sequence[Counts]) -> NDArray[np.float64]:
    """Of bins of one width, with whole numbers in their middles where they are one wide."""
    low, high = (int(pick([pick(one) for one in counts])) for pick in (np.min, np.max))
    width = -(-(high - low + 1) // MOST_BINS)
    return np.arange(low - 0.5, high + width + 0.5, width)
