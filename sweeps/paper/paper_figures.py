"""The paper's figures from a sweep, as PNG and SVG, with what they show in words; 3 and 4 from its records alone."""

from collections.abc import Sequence
from pathlib import Path

from surgery.errors import InputError
from sweeps.charts.chart import Axis, Bars, Chart, Line, Mark, Points
from sweeps.charts.palette import BASE, MAIN, SERIES, SOFT, SYMBOLS
from sweeps.charts.pictures import save_charts
from sweeps.records.record import Record
from sweeps.results.protocols import measured_alike
from sweeps.results.random_cosines import random_bound, random_counts

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
            files += save_charts(folder / "figures", f"figure3-{cell.cell}", [_cosines(cell)])
        return files, [_cosines_in_words(cell) for cell in cells]
    measured_alike(done, folder)
    behavior = next((name for name in BEHAVIORS if any(name in record.metrics for record in done)), None)
    ability = next((name for name in _abilities(done) if behavior in done[0].metrics), None)
    if behavior is None or ability is None:
        raise InputError("no cell of this sweep measured a behavior and a general ability")
    files = save_charts(folder / "figures", "figure4", [_methods(done, behavior, ability)])
    return files, [_method_in_words(record, behavior, ability) for record in done]


def _cosines(record: Record) -> Chart:
    told = record.edit["cosines"]
    bins, random = len(told["rows"]), random_counts(told) or []
    middles = tuple(told["reach"] * (2 * (index + 0.5) / bins - 1) for index in range(bins))
    share = sum(told["region"]) / sum(told["rows"])
    marks: list[Mark] = [Bars("selected rows", middles, tuple(told["region"]), 2 * told["reach"] / bins, MAIN)]
    if random:
        counts = tuple(count * share for count in random)
        marks.append(Line("as many random vectors", middles, counts, SOFT, dash="dash"))
    return Chart(Axis("cosine with the probe"), Axis("rows"), tuple(marks), title=record.cell)


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


def _methods(done: Sequence[Record], behavior: str, ability: str) -> Chart:
    by_method: dict[str, list[Record]] = {}
    for record in done:
        by_method.setdefault(_method(record), []).append(record)
    base = done[0].metrics
    at_base = ((base[ability].base,), (base[behavior].base,))
    marks: list[Mark] = [Points("base", *at_base, BASE, symbol="diamond", size=8.5)]
    for index, (method, records) in enumerate(by_method.items()):
        xs, ys = (tuple(record.metrics[name].edited for record in records) for name in (ability, behavior))
        epochs = tuple(str(record.keys.get("method.epochs", "")) for record in records)
        form = index % len(SERIES)
        marks.append(Points(method, xs, ys, SERIES[form], symbol=SYMBOLS[form], texts=epochs))
    return Chart(Axis(ability), Axis(behavior), tuple(marks))


def _method_in_words(record: Record, behavior: str, ability: str) -> str:
    told = f"{_method(record)} ({record.cell})"
    metrics = (record.metrics[name] for name in (behavior, ability))
    changes = (f"{metric.key} {metric.base:.3f} → {metric.edited:.3f}" for metric in metrics)
    return f"{told}: {', '.join(changes)}"


def _method(record: Record) -> str:
    # Records of before there were others do not say it.
    return str(record.keys.get("method", "surgery"))
