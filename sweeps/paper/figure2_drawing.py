"""The two kinds of pictures of Figure 2."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sweeps.paper.neuron_shift import Counts, NeuronShift
from sweeps.paper.probe_cosines import ProbeCosines
from sweeps.report.figures import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More numbers than so many can't be read in a picture of cosines; more neurons than so many share bins.
MOST_NUMBERS, MOST_BINS = 100, 50


def draw_cosines(attention: "Axes", between: "Axes | None" = None, *, cosines: ProbeCosines) -> None:
    """A line for each probe and set of prompts, over the layers; on a second pair of axes, probe against probe."""
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
    image = _matrix(attention, rows, list(map(str, cosines.layers)), names, float(np.abs(rows).max()))
    attention.set(xlabel="layer", title=title)
    for index in range(1, len(cosines.probes)):
        attention.axhline(index * len(cosines.sets) - 0.5, color="#333333", lw=1)
    if attention.figure is not None:
        attention.figure.colorbar(image, ax=attention, label="cosine")
    if between is not None:
        _matrix(between, cosines.between, list(cosines.probes), list(cosines.probes), 1.0)
        between.set(title="probes", aspect="equal", anchor="N")
        between.tick_params(axis="x", rotation=90)


def _matrix(axes: "Axes", values: NDArray[np.float64], across: Sequence[str], down: Sequence[str], limit: float) -> Any:
    image = axes.imshow(values, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit)
    step = -(-len(across) // 16)
    axes.set_xticks(range(0, len(across), step), across[::step])
    axes.set_yticks(range(len(down)), down)
    if values.size <= MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if abs(value) > 0.6 * limit else "black"
            # Without a minus before 0.00.
            axes.text(
                column, row, f"{round(float(value), 2) + 0.0:+.2f}", ha="center", va="center", color=colour, fontsize=9
            )
    return image


def draw_shifts(left: "Axes", right: "Axes", *, behavior: str, shifts: Sequence[NeuronShift]) -> None:
    """Histograms of active neurons a token without and with the edit: on prompts of the behavior, and of tasks."""
    edges = _edges([counts for shift in shifts for side in (shift.before, shift.after) for counts in side])
    for axes, kind in ((left, "behavior"), (right, "task")):
        of_kind = [shift for shift in shifts if shift.prompts.kind == kind]
        for side, colour, label in (("before", "#8a929a", "before the edit"), ("after", COLOURS[5], "after")):
            counts: list[Counts] = [one for shift in of_kind for one in getattr(shift, side)]
            # Every prompt counts alike, as in the means that are told.
            weights = np.concatenate([np.full(len(one), 1 / (len(one) * len(counts))) for one in counts])
            style: dict[str, Any] = {"alpha": 0.55} if side == "before" else {"histtype": "step", "linewidth": 1.8}
            axes.hist(np.concatenate(counts), edges.tolist(), weights=weights, color=colour, label=label, **style)
            axes.axvline(float(np.mean([one.mean() for one in counts])), color=colour, ls="--", lw=1.2)
        names = ", ".join(shift.prompts.name for shift in of_kind)
        axes.set_title(f"{kind} prompts: {names}", fontsize=10)
        axes.set(xlabel=f"active neurons at a token, of {shifts[0].neurons:,}", ylabel="share of tokens")
    top = max(left.get_ylim()[1], right.get_ylim()[1])
    left.set_ylim(0, top)
    right.set_ylim(0, top)
    if left.figure is not None:
        title = f"region of {behavior} (dashed: means)"
        handles, labels = left.get_legend_handles_labels()
        left.figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize=9, title=title)


def _edges(counts: Sequence[Counts]) -> NDArray[np.float64]:
    """Of bins of one width, with whole numbers in their middles where they are one wide."""
    low, high = (int(pick([pick(one) for one in counts])) for pick in (np.min, np.max))
    width = -(-(high - low + 1) // MOST_BINS)
    return np.arange(low - 0.5, high + width + 0.5, width)
