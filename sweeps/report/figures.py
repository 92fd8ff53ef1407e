"""The figures of a report as PNG and SVG."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgery.files.whole_files import written_whole
from sweeps.records.metric import name_of
from sweeps.report.contents import Contents

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BASE, EDITED, CHANGE, LOW, HIGH = range(5)
# Okabe and Ito's colours, which people who see colours differently can tell apart.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
MARKERS = "osD^Pv"
MOST_LINES = 6
Row = Mapping[str, Any]


def write_figures(contents: Contents, folder: Path) -> list[Path]:
    """Draws the trade-off, each headline metric as heat map and as curves, cosines, layers and time.

    Args:
        contents: what the report shows.
        folder: made where it is not there; each figure is written whole or not at all.

    Returns:
        The files, PNG and SVG.
    """
    values = contents.values
    written: list[Path] = []
    both = values["ability"], values["behavior"]
    if len(set(both)) == 2 and _measured(values["rows"], *both):
        written += save_figure(folder, "trade-off", lambda axes: _trade_off(axes, values))
    varied = [key for key in values["grid"] if len({row["keys"].get(key) for row in values["rows"]}) > 1]
    over = "alpha" if "alpha" in varied else next(iter(varied), None)
    for metric in values["headlines"]:
        rows = _measured(values["rows"], metric)
        if len(varied) == 2 and set(values["swept"]) - set(varied) <= _constant(values):
            pair = ("alpha", "top_k") if set(varied) == {"alpha", "top_k"} else varied
            written += save_figure(folder, f"map-{metric}", lambda axes, r=rows, m=metric, p=pair: _map(axes, r, m, *p))
        if over is not None:
            written += save_figure(
                folder, f"curve-{metric}", lambda axes, r=rows, m=metric: _curves(axes, values, r, m, over)
            )
    shown = next((row for row in values["rows"] if row["chosen"]), values["rows"][0])
    if shown["cosines"]:
        written += save_figure(folder, "cosines", lambda axes: _cosines(axes, shown))
    if shown["layers"]:
        written += save_figure(folder, "layers", lambda axes: _layers(axes, shown))
    return written + save_figure(folder, "time", lambda axes: _time(axes, values["rows"]))


def _constant(values: Mapping[str, Any]) -> set[str]:
    return {key for key in values["swept"] if len({str(row["keys"].get(key)) for row in values["rows"]}) == 1}


def save_figure(
    folder: Path,
    name: str,
    draw: Callable[..., None],
    *,
    size: tuple[float, float] = (7.2, 4.5),
    widths: Sequence[float] = (1,),
) -> list[Path]:
    """Draws and writes PNG and SVG, each whole or not at all; the files.

    Args:
        folder: made where it is not there.
        name: of the files.
        draw: called with the axes, one for each of `widths`, side by side.
        size: in inches.
        widths: of the axes, relative to one another.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^\w.-]+", "_", name)
    written = []
    # Ids and dates that change nothing would make equal figures different files. What a person named is no formula.
    with mpl.rc_context(
        {
            "svg.hashsalt": stem,
            "font.size": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "text.parse_math": False,
        }
    ):
        figure = Figure(figsize=size, layout="constrained")
        draw(*figure.subplots(1, len(widths), squeeze=False, width_ratios=widths).flat)
        for kind in ("png", "svg"):
            path = folder / f"{stem}.{kind}"
            with written_whole(path) as temporary:
                figure.savefig(temporary, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else None)
            written.append(path)
    return written


def _value(row: Row, metric: str, which: int = EDITED) -> float:
    """NaN for what was not measured."""
    found = row["metrics"].get(metric)
    return math.nan if found is None or found[which] is None else float(found[which])


def _measured(rows: Sequence[Row], *metrics: str) -> list[Row]:
    return [row for row in rows if not any(math.isnan(_value(row, metric)) for metric in metrics)]


def _trade_off(axes: "Axes", values: Mapping[str, Any]) -> None:
    x, y = values["ability"], values["behavior"]
    rows = _measured(values["rows"], x, y)
    front = sorted((row for row in rows if row["front"]), key=lambda row: (_value(row, x), _value(row, y)))
    axes.plot(
        [_value(r, x) for r in front], [_value(r, y) for r in front], ":", color="#777777", zorder=1, label="front"
    )
    by = "alpha" if "alpha" in values["grid"] else next(iter(values["grid"]), None)
    groups = (
        ("cell", "o", 42, [row for row in rows if not row["chosen"] and not row["broken"]]),
        ("broke the text", "x", 42, [row for row in rows if row["broken"] and not row["chosen"]]),
        (f"chosen{values['half']}", "*", 240, [row for row in rows if row["chosen"]]),
    )
    colours = [row["keys"][by] for row in rows] if by else [0.0]
    scale: dict[str, Any] = {"vmin": min(colours), "vmax": max(colours), "cmap": _scale()} if by else {}
    drawn = None
    for label, marker, size, group in groups:
        if group:
            given: dict[str, Any] = {"c": [row["keys"][by] for row in group], **scale} if by else {"color": COLOURS[0]}
            xs, ys = [_value(row, x) for row in group], [_value(row, y) for row in group]
            drawn = axes.scatter(xs, ys, marker=marker, s=size, label=label, zorder=2 + (marker == "*"), **given)
    bases = sorted({(_value(row, x, BASE), _value(row, y, BASE)) for row in rows})
    base_x, base_y = [point[0] for point in bases], [point[1] for point in bases]
    axes.scatter(base_x, base_y, marker="D", s=70, color="#c4510b", label="base", zorder=3)
    if by and drawn is not None and axes.figure is not None:
        axes.figure.colorbar(drawn, ax=axes, label=by)
    axes.set(xlabel=x, ylabel=y)
    xs = [_value(row, x) for row in rows]
    if name_of(x).startswith("perplexity/") and max(xs) > 2 * min(xs):
        # An edit that broke the model would push all others into one point.
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:g}")
    axes.legend(frameon=False, fontsize=9)


def _scale() -> Any:
    """As on the page: visible on white, and told apart by people who see colours differently."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("cells", ["#4f9bd9", "#9467bd", "#e0484f"])


def _map(axes: "Axes", rows: Sequence[Row], metric: str, across: str, up: str) -> None:
    import numpy as np

    xs, ys = (sorted({row["keys"][key] for row in rows}) for key in (across, up))
    grid = np.full((len(ys), len(xs)), np.nan)
    for row in rows:
        grid[ys.index(row["keys"][up]), xs.index(row["keys"][across])] = _value(row, metric)
    image = axes.imshow(grid, origin="lower", aspect="auto", cmap="viridis")
    axes.set(xlabel=across, ylabel=up, title=metric, xticks=range(len(xs)), yticks=range(len(ys)))
    axes.set_xticklabels([f"{x:g}" for x in xs])
    axes.set_yticklabels([f"{y:g}" for y in ys])
    if grid.size <= 100:
        middle = (np.nanmin(grid) + np.nanmax(grid)) / 2
        for (j, i), value in np.ndenumerate(grid):
            if np.isfinite(value):
                axes.text(i, j, f"{value:.3f}", ha="center", va="center", color="white" if value <= middle else "black")
    if axes.figure is not None:
        axes.figure.colorbar(image, ax=axes)


def _curves(axes: "Axes", values: Mapping[str, Any], rows: Sequence[Row], metric: str, over: str) -> None:
    beside = [key for key in values["swept"] if key != over and key not in _constant(values)]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(" ".join(f"{key}={row['keys'].get(key)}" for key in beside), []).append(row)
    scattered = len(groups) > MOST_LINES
    lines = {"": list(rows)} if scattered else groups
    for index, (name, group) in enumerate(lines.items()):
        group.sort(key=lambda row: row["keys"][over])
        y = [_value(row, metric) for row in group]
        reach = [[_reach(row, metric, bound, values["possible"]) for row in group] for bound in (LOW, HIGH)]
        style: dict[str, Any] = {
            "color": COLOURS[index % 6],
            "marker": MARKERS[index % 6],
            "ls": "" if scattered else "-",
        }
        axes.errorbar([row["keys"][over] for row in group], y, yerr=reach, capsize=3, label=name or None, **style)
    for level in {_value(row, metric, BASE) for row in rows if not math.isnan(_value(row, metric, BASE))}:
        axes.axhline(level, color="#c4510b", ls="--", lw=1.2, label="base")
    axes.set(xlabel=over, ylabel=metric)
    axes.legend(frameon=False, fontsize=9)


def _reach(row: Row, metric: str, bound: int, possible: Mapping[str, Sequence[float | None]]) -> float:
    """How far the interval of the change goes from the edited value, as far as the metric itself can go."""
    change, limit, edited = _value(row, metric, CHANGE), _value(row, metric, bound), _value(row, metric)
    if math.isnan(limit):
        return 0.0
    end, (low, high) = edited + limit - change, possible[metric]
    if low is not None:
        end = max(low, end)
    if high is not None:
        end = min(high, end)
    return abs(end - edited)


def _cosines(axes: "Axes", row: Row) -> None:
    told = row["cosines"]
    width = 2 * told["reach"] / len(told["rows"])
    middles = [-told["reach"] + (index + 0.5) * width for index in range(len(told["rows"]))]
    axes.bar(middles, told["rows"], width, color="#c9ced4", label="all rows")
    axes.bar(middles, told["region"], width, color=COLOURS[0], label="region")
    if "random" in told:
        drawn = [(middle, count) for middle, count in zip(middles, told["random"], strict=True) if count >= 0.1]
        axes.plot(*zip(*drawn, strict=True), "--", color="#333333", label="as many random vectors")
    axes.set(xlabel="cosine with the probe", ylabel="rows", yscale="log", title=row["region"])
    axes.legend(frameon=False)


def _layers(axes: "Axes", row: Row) -> None:
    axes.bar([int(layer) for layer in row["layers"]], list(row["layers"].values()), color=COLOURS[0])
    axes.set(xlabel="layer", ylabel="rows of the region", title=row["cell"])


def _time(axes: "Axes", rows: Sequence[Row]) -> None:
    stages = list(dict.fromkeys(stage for row in rows for stage in row["seconds"]))
    sums = [sum(row["seconds"].get(stage, 0.0) for row in rows) for stage in stages]
    bars = axes.barh(stages, sums, color=COLOURS[0])
    axes.bar_label(bars, [f"{value:.1f} s" for value in sums], padding=3)
    axes.invert_yaxis()
    axes.set(xlabel="seconds, all cells")
