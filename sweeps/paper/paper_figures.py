"""The paper's figures from a sweep, as PNG and SVG, with what they show in words; 3 and 4 from its records alone."""

from collections.abc import Sequence
from functools import partial
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from surgery.errors import InputError
from sweeps.records.record import Record
from sweeps.report.figures import COLOURS, MARKERS, save_figure
from sweeps.results.protocols import measured_alike
from sweeps.results.random_cosines import random_bound, random_counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURES = ("figure2", "figure3", "figure4")
BEHAVIORS = ("toxicity/toxic_rate", "jailbreak/refusal_rate", "attitude/positive_rate")


def draw_figure(
    figure: str, folder: Path, done: Sequence[Record], progress: bool = False
) -> tuple[list[Path], list[str]]:
    """Draws a figure into the sweep's `figures/`.

    Args:
        figure: `figure2`, probes against attention outputs and how many neurons are active (see
            `sweeps.paper.figure2`); `figure3`, the cosines of each region against those of random vectors; or
            `figure4`, behavior against general ability, a colour a method.
        folder: of the sweep.
        done: its finished cells.
        progress: show a bar where a model is read.

    Returns:
        The files, and what is to be seen, a sentence a cell or method.

    Raises:
        InputError: for another figure, cells that hold nothing of it, or a figure 4 of cells not measured alike.
    """
    if figure not in FIGURES:
        raise InputError(f"there is no '{figure}'; there are {', '.join(FIGURES)}, and tables")
    if figure == "figure2":
        from sweeps.paper.figure2 import draw_figure2

        return draw_figure2(folder, done, progress)
    if figure == "figure3":
        cells = [record for record in done if "width" in record.edit.get("cosines", {})]
        if not cells:
            raise InputError("no cell of this sweep keeps the cosines of a region; run one of method=surgery again")
        files = []
        for cell in cells:
            files += save_figure(folder / "figures", f"figure3-{cell.cell}", partial(_cosines, record=cell))
        return files, [_cosines_in_words(cell) for cell in cells]
    measured_alike(done, folder)
    behavior = next((name for name in BEHAVIORS if any(name in record.metrics for record in done)), None)
    ability = next((name for name in _abilities(done) if behavior in done[0].metrics), None)
    if behavior is None or ability is None:
        raise InputError("no cell of this sweep measured a behavior and a general ability")
    files = save_figure(folder / "figures", "figure4", lambda axes: _methods(axes, done, behavior, ability))
    return files, [_method_in_words(record, behavior, ability) for record in done]


def _cosines(axes: "Axes", record: Record) -> None:
    told = record.edit["cosines"]
    bins, random = len(told["rows"]), random_counts(told) or []
    middles = [told["reach"] * (2 * (index + 0.5) / bins - 1) for index in range(bins)]
    width = 2 * told["reach"] / bins
    share = sum(told["region"]) / sum(told["rows"])
    axes.bar(middles, told["region"], width, color=COLOURS[0], label="selected rows")
    axes.plot(middles, [count * share for count in random], "--", color="#333333", label="as many random vectors")
    axes.set(xlabel="cosine with the probe", ylabel="rows", title=record.cell)
    axes.legend(frameon=False)


def _cosines_in_words(record: Record) -> str:
    told = record.edit["cosines"]
    bins = len(told["region"])
    filled = [index for index, count in enumerate(told["region"]) if count]
    low, high = (told["reach"] * (2 * edge / bins - 1) for edge in (filled[0], filled[-1] + 1))
    return (
        f"{record.cell}: {sum(told['region'])} selected rows have cosines from {low:.3f} to {high:.3f}; of random "
        f"vectors in {told['width']} dimensions 99.9 % lie within ±{random_bound(told['width']):.3f}"
    )


def _abilities(done: Sequence[Record]) -> list[str]:
    known = list(dict.fromkeys(name for record in done for name in record.metrics))
    texts = [name for name in known if name.startswith("perplexity/")]
    return [name for name in ("lm_eval/average", *texts) if name in known]


def _methods(axes: "Axes", done: Sequence[Record], behavior: str, ability: str) -> None:
    by_method: dict[str, list[Record]] = {}
    for record in done:
        by_method.setdefault(_method(record), []).append(record)
    x, y = (_number(done[0].metrics[name].base) for name in (ability, behavior))
    axes.scatter(x, y, marker="D", s=70, color="#c4510b", label="base")
    for index, (method, records) in enumerate(by_method.items()):
        xs, ys = ([_number(record.metrics[name].edited) for record in records] for name in (ability, behavior))
        axes.scatter(xs, ys, marker=MARKERS[index % 6], color=COLOURS[index % 6], s=50, label=method)
        for record, x, y in zip(records, xs, ys, strict=True):
            if (epochs := record.keys.get("method.epochs")) is not None:
                axes.annotate(f"{epochs}", (x, y), textcoords="offset points", xytext=(5, 4), fontsize=8)
    axes.set(xlabel=ability, ylabel=behavior)
    axes.legend(frameon=False, fontsize=9)


def _number(value: float | None) -> float:
    """Where nothing was measured nothing is drawn."""
    return nan if value is None else value


def _method_in_words(record: Record, behavior: str, ability: str) -> str:
    told = f"{_method(record)} ({record.cell})"
    metrics = (record.metrics[name] for name in (behavior, ability))
    changes = (f"{metric.key} {metric.base:.3f} → {metric.edited:.3f}" for metric in metrics)
    return f"{told}: {', '.join(changes)}"


def _method(record: Record) -> str:
    # Records of before there were others do not say it.
    return str(record.keys.get("method", "surgery"))
