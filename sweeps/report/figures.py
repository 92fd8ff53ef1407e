"""The figures of a report as PNG and SVG."""

from pathlib import Path

from sweeps.charts.chart import Chart
from sweeps.charts.pictures import save_charts
from sweeps.equal_price.frontier_chart import frontier_charts
from sweeps.equal_price.told import MethodComparison
from sweeps.report.contents import Contents
from sweeps.report.drawn_sweep import DrawnSweep, measured
from sweeps.report.key_charts import curve_chart, held_rows, map_chart, map_keys
from sweeps.report.region_charts import cosines_chart, layers_chart, time_chart
from sweeps.report.robustness_chart import relearned, robustness_chart
from sweeps.report.trade_off_chart import trade_off_chart


def write_figures(contents: Contents, folder: Path) -> list[Path]:
    """Draws the trade-off, headline metrics as heat maps and curves, robustness, cosines, layers, time, and methods.

    Args:
        contents: what the report shows.
        folder: made where it is not there; each figure is written whole or not at all.

    Returns:
        The files, PNG and SVG.
    """
    sweep = DrawnSweep(contents.values)
    both = contents.values["ability"], contents.values["behavior"]
    charts: dict[str, Chart | None] = {}
    if len(set(both)) == 2 and measured(sweep.rows, *both):
        charts["trade-off"] = trade_off_chart(sweep, *both)
    for metric in contents.values["headlines"]:
        if map_keys(sweep) is not None and len(held_rows(sweep)) == 1:
            charts[f"map-{metric}"] = map_chart(sweep, metric, sweep.rows)
        if sweep.numeric:
            charts[f"curve-{metric}"] = curve_chart(sweep, metric, sweep.first_key)
    for metric, after in relearned(sweep).items():
        charts[f"robustness-{metric}"] = robustness_chart(sweep, metric, after)
    charts["cosines"] = cosines_chart(sweep.first)
    charts["layers"] = layers_chart(sweep.first)
    charts["time"] = time_chart(sweep.rows)
    if isinstance(contents.methods, MethodComparison):
        charts |= frontier_charts(contents.methods)
    written: list[Path] = []
    for name, chart in charts.items():
        if chart is not None:
            written += save_charts(folder, name, [chart])
    return written
