"""Region: the rows to edit."""

from surgery.region.ranking import RowRanking
from surgery.region.region import Region
from surgery.rows.locator import layer_count
from sweeps.plan.layers import chosen_layers
from sweeps.run.stage import Stage
from sweeps.run.workbench import CellWork


def choose_region(work: CellWork, ranking: Stage[RowRanking]) -> Region:
    """The first `top_k` rows by the cell's rule, of the layers that it chooses from."""
    cell, settings = work.cell, work.cell.settings.region
    ranked = work.take(ranking)
    rows = ranked.within(chosen_layers(cell.settings, layer_count(work.shapes), ranked.homes))
    if settings.rule == "random":
        return rows.random(cell.top_k, cell.settings.seed, settings.per_layer)
    choose = rows.lowest if settings.rule == "lowest" else rows.highest
    return choose(cell.top_k, settings.per_layer)
