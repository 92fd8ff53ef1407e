"""The charts of the page, one for every choice that its menus offer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sweeps.charts.chart import Chart
from sweeps.charts.plotly_figure import plotly_figure
from sweeps.equal_price.frontier_chart import frontier_chart
from sweeps.equal_price.told import MethodComparison
from sweeps.report.drawn_sweep import DrawnSweep, Row
from sweeps.report.key_charts import curve_chart, held_keys, held_rows, map_chart, map_keys
from sweeps.report.region_charts import cosines_chart, layers_chart, time_chart
from sweeps.report.robustness_chart import relearned, robustness_chart
from sweeps.report.trade_off_chart import trade_off_chart

# With more metrics than this the trade-off offers headline metrics upwards: a page has to stay small.
MOST_PAIRED = 25
NOTHING = "nothing of this was measured"


@dataclass(frozen=True)
class Menu:
    """One menu beside a chart.

    Attributes:
        id: of its element in the page; charts that name the same one share it.
        label: before it.
        options: {value: words}.
        first: the value that is chosen at first.
    """

    id: str
    label: str
    options: Mapping[str, str]
    first: str

    @classmethod
    def of(cls, id: str, label: str, values: Iterable[str], first: str | None = None) -> "Menu":
        """A menu of values that speak for themselves."""
        options = {value: value for value in values}
        return cls(id, label, options, next(iter(options)) if first is None else first)


@dataclass(frozen=True)
class PageChart:
    """A place of the page with its menus.

    Attributes:
        menus: beside it.
        charts: by the values of the menus, in their order; None where there is nothing to draw.
        otherwise: the words where there is no chart.
    """

    menus: tuple[Menu, ...]
    charts: Mapping[tuple[str, ...], Chart | None]
    otherwise: str = NOTHING

    def as_json(self) -> dict[str, Any]:
        """For page.js: figures as {value of the first menu: {value of the second: … figure}}."""
        figures: dict[str, Any] = {}
        for values, chart in self.charts.items():
            inner = figures
            for value in values[:-1]:
                inner = inner.setdefault(value, {})
            inner[values[-1] if values else ""] = plotly_figure(chart) if chart else None
        menus = [{"id": m.id, "label": m.label, "options": dict(m.options), "first": m.first} for m in self.menus]
        return {"menus": menus, "figures": figures if self.menus else figures.get(""), "otherwise": self.otherwise}


def page_charts(values: Mapping[str, Any], methods: MethodComparison | None = None) -> dict[str, PageChart]:
    """All charts of the page by their place; a place without one that could ever be drawn is left out.

    Args:
        values, methods: of `Contents`.
    """
    sweep = DrawnSweep(values)
    found = {"trade": _trade_offs(sweep)}
    if methods is not None:
        menu = Menu.of("methods-price", "price", [price.name for price in methods.prices])
        charts: dict[tuple[str, ...], Chart | None] = {
            (price.name,): frontier_chart(methods, price) for price in methods.prices
        }
        found["methods"] = PageChart((menu,), charts)
    if map_keys(sweep) is not None:
        found["maps"] = _maps(sweep)
    if sweep.numeric:
        found["curves"] = _curves(sweep)
    if after := relearned(sweep):
        first = sweep.values["behavior"] if sweep.values["behavior"] in after else None
        menu = Menu.of("robustness-metric", "metric", after, first)
        found["robustness"] = PageChart(
            (menu,), {(metric,): robustness_chart(sweep, metric, steps) for metric, steps in after.items()}
        )
    regions = Menu("region-cell", "cell", {row["cell"]: _named(row) for row in sweep.rows}, sweep.first["cell"])
    before = "This record was made before cosines were kept."
    found["cosines"] = PageChart((regions,), {(row["cell"],): cosines_chart(row) for row in sweep.rows}, before)
    found["layers"] = PageChart((regions,), {(row["cell"],): layers_chart(row) for row in sweep.rows})
    found["time"] = PageChart((), {(): time_chart(sweep.rows)})
    return found


def _trade_offs(sweep: DrawnSweep) -> PageChart:
    metrics = sweep.values["metrics"]
    up = metrics if len(metrics) <= MOST_PAIRED else [*sweep.values["headlines"]]
    menus = (
        Menu.of("trade-y", "up", up, sweep.values["behavior"]),
        Menu.of("trade-x", "across", metrics, sweep.values["ability"]),
    )
    return PageChart(menus, {(y, x): trade_off_chart(sweep, x, y) for y in up for x in metrics})


def _maps(sweep: DrawnSweep) -> PageChart:
    groups = held_rows(sweep)
    menus = [Menu.of("maps-metric", "metric", sweep.values["metrics"], sweep.values["behavior"])]
    for place, key in enumerate(held_keys(sweep)):
        menus.append(Menu.of(f"maps-{key}", key, dict.fromkeys(held[place] for held in groups)))
    charts = {
        (metric, *held): map_chart(sweep, metric, rows)
        for metric in sweep.values["metrics"]
        for held, rows in groups.items()
    }
    return PageChart(tuple(menus), charts)


def _curves(sweep: DrawnSweep) -> PageChart:
    menus = (
        Menu.of("curves-metric", "metric", sweep.values["metrics"], sweep.values["behavior"]),
        Menu.of("curves-key", "over", sweep.numeric, sweep.first_key),
    )
    charts: dict[tuple[str, ...], Chart | None] = {
        (metric, key): curve_chart(sweep, metric, key) for metric in sweep.values["metrics"] for key in sweep.numeric
    }
    return PageChart(menus, charts)


def _named(row: Row) -> str:
    return f"{row['cell']} {row['told']}{' ★' if row['chosen'] else ''}"
