"""A sweep as a workspace of Weights & Biases: its panels, built from code."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from sweeps.records.choice import Choice
from sweeps.records.metric import name_of
from sweeps.records.record import Record
from sweeps.records.told_keys import swept_keys
from sweeps.results.headlines import headline_metrics
from sweeps.results.trade_off import known_better, trade_off

# On an axis of perplexities equal ratios are equally long.
LOGARITHMIC = "perplexity/"

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import Layout
    from wandb_workspaces.workspaces import Section, Workspace


@dataclass(frozen=True)
class Shown:
    """What of a sweep a dashboard draws.

    Attributes:
        swept: the keys whose values differ, in the order of a record.
        grid: those of them that are numbers.
        metrics: the headline metrics, of the report half.
        behavior: the metric that the edit is for.
        ability: the metric that it should leave alone; the same one where no other was measured.
    """

    swept: tuple[str, ...]
    grid: tuple[str, ...]
    metrics: tuple[str, ...]
    behavior: str
    ability: str

    @classmethod
    def of(cls, records: Sequence[Record], choice: Choice | None) -> "Shown":
        """What there is to be drawn of cells that are done.

        Args:
            records: at least one, with a metric.
            choice: the rule the sweep is chosen by; what it minimises or maximises is the behavior.
        """
        metrics = headline_metrics(records)
        values = {name: [_edited(record, name) for record in records] for name in metrics}
        behavior, ability = trade_off(values, choice)
        swept = swept_keys([record.keys for record in records])
        grid = [key for key in swept if all(_is_number(record.keys.get(key)) for record in records)]
        return cls(tuple(swept), tuple(grid), tuple(metrics), behavior, ability)


def _edited(record: Record, name: str) -> float | None:
    found = record.metrics.get(name)
    return None if found is None else found.edited


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def workspace(sweep: str, shown: Shown, entity: str, project: str, protocol: str = "") -> "Workspace":
    """The workspace of one sweep: the runs that its cells were logged as, and no others.

    Args:
        sweep: the group its runs were logged in.
        shown: what is drawn.
        entity, project: whose runs, and where it will be saved.
        protocol: of the runs, where the sweep was measured in several ways.
    """
    import wandb_workspaces.workspaces as ws

    filters = [f"Metric('Group') = '{sweep}'", *([f"Config('protocol') = '{protocol}'"] if protocol else [])]

    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"Model surgery: {sweep}: {shown.behavior} against {shown.ability}",
        sections=[_trade_off(shown), *_grid(shown), _influence(shown), _samples()],
        settings=ws.WorkspaceSettings(max_runs=1_000),
        runset_settings=ws.RunsetSettings(
            filters=" and ".join(filters),
            pinned_columns=["run:displayName", *(f"summary:{name}" for name in shown.metrics)],
        ),
    )


def _trade_off(shown: Shown) -> "Section":
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    panels: list[object] = []
    if shown.ability != shown.behavior:
        colour = wr.Config(shown.grid[0]) if shown.grid else None
        x, y = wr.SummaryMetric(shown.ability), wr.SummaryMetric(shown.behavior)
        told = f", colour: {shown.grid[0]}" if shown.grid else ""
        title = f"up: {_named(shown.behavior)}; across: {_named(shown.ability)}{told}"
        log = name_of(shown.ability).startswith(LOGARITHMIC) or None
        panels.append(wr.ScatterPlot(title=title, x=x, y=y, z=colour, layout=_place(0), log_x=log))
    lines = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(key), display_name=key) for key in shown.swept]
    lines += [
        wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(name), display_name=_named(name))
        for name in shown.metrics
    ]
    title = "All cells: what was swept, and what they measure"
    panels.append(wr.ParallelCoordinatesPlot(title=title, columns=lines, layout=_place(len(panels))))
    return ws.Section(name="1. Trade-off", panels=panels, is_open=True)


def _named(metric: str) -> str:
    """A metric with the way of it that is better, where its name tells it."""
    wanted = known_better(metric, None)
    return metric + {"minimize": " (lower is better)", "maximize": " (higher is better)"}.get(wanted or "", "")


def _place(index: int) -> "Layout":
    """Where a panel is in its section: three in a row, of W&B's 24 columns."""
    import wandb_workspaces.reports.v2 as wr

    return wr.Layout(x=8 * (index % 3), y=6 * (index // 3), w=8, h=6)


def _grid(shown: Shown) -> "list[Section]":
    """Two swept numbers as axes and a metric as colour: the library has no panel for heat maps of cells."""
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    found = []
    for x, y in combinations(shown.grid, 2):
        panels = [
            wr.ScatterPlot(
                title=f"colour: {_named(name)}; across: {x}, up: {y}",
                x=wr.Config(x),
                y=wr.Config(y),
                z=wr.SummaryMetric(name),
                layout=_place(index),
            )
            for index, name in enumerate(shown.metrics)
        ]
        found.append(ws.Section(name=f"2. Heat maps over {x} and {y}", panels=panels, is_open=True))
    return found


def _influence(shown: Shown) -> "Section":
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    panels = [
        wr.ParameterImportancePlot(with_respect_to=name, layout=_place(index))
        for index, name in enumerate(shown.metrics)
    ]
    return ws.Section(name="3. Which key matters for which metric", panels=panels)


def _samples() -> "Section":
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    table = wr.WeavePanelSummaryTable(table_name="samples", layout=wr.Layout(w=24, h=20))
    return ws.Section(name="4. Samples, base beside edited", panels=[table], is_open=True)
