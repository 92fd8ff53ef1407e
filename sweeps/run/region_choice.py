"""Region: the rows to edit."""

from surgery.region.ranking import RowRanking
from surgery.region.region import Region
from surgery.rows.locator import layer_count
from sweeps.cell.settings import Settings
from sweeps.plan.layers import chosen_layers
from sweeps.run.stage import Stage
from sweeps.run.workbench import CellWork


def choose_region(work: CellWork, ranking: Stage[RowRanking]) -> Region:
    """The first `top_k` rows by the cell's rule, of the layers that it chooses from."""
    settings = work.cell.settings
    rows = choosable(work.take(ranking), settings, layer_count(work.shapes))
    return region_of(rows, settings, work.cell.top_k)


def choosable(ranked: RowRanking, settings: Settings, depth: int) -> RowRanking:
    """The rows that a cell chooses from, of a model with so many layers; raises InputError where there are none."""
    return ranked.within(chosen_layers(settings, depth, ranked.homes))


def region_of(rows: RowRanking, settings: Settings, top_k: int) -> Region:
    """The first `top_k` of choosable rows by a cell's rule; raises InputError where there are fewer."""
    region = settings.region
    if region.rule == "random":
        return rows.random(top_k, settings.seed, region.per_layer)
    choose = rows.lowest if region.rule == "lowest" else rows.highest
    return choose(top_k, region.per_layer)
