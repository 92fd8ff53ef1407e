"""Region: the rows to edit."""

from pathlib import Path

import torch

from surgery.activity.gate_activity import mean_gate_activity
from surgery.files.tensor_file import read_tensors, save_tensors
from surgery.region.ranking import RowRanking
from surgery.region.region import Region
from surgery.rows.locator import layer_count
from sweeps.cell.settings import Settings
from sweeps.plan.layers import chosen_layers
from sweeps.run.stage import Stage
from sweeps.run.stage_identities import activity_identity
from sweeps.run.trained_change import reading, training_texts
from sweeps.run.workbench import CellWork

NAME, FILE = "activity", "activity.safetensors"
# Of a gate that never reacts, so that any power of its activity is a number.
LEAST_ACTIVITY = 1e-30


def choose_region(work: CellWork, ranking: Stage[RowRanking]) -> Region:
    """The first `top_k` rows by the cell's rule, of the layers that it chooses from."""
    settings = work.cell.settings
    rows = choosable(work.take(ranking), settings, layer_count(work.shapes))
    if (power := settings.region.activity) is not None:
        powers = {
            layer: activity.double().clamp_min(LEAST_ACTIVITY) ** power
            for layer, activity in work.take(_gate_activity(work)).items()
        }
        rows = rows.weighted(powers, f"cosine x activity^{power:g}")
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


def _gate_activity(work: CellWork) -> Stage[dict[int, torch.Tensor]]:
    """How strongly each gate reacts to the training texts that are to keep, {layer: [its rows]}."""

    def read(folder: Path) -> None:
        with work.subject():
            found = mean_gate_activity(
                *work.loaded, training_texts(work, 0), **reading(work), progress=work.bench.progress
            )
        save_tensors({str(layer): activity for layer, activity in found.items()}, folder / FILE)

    def load(folder: Path) -> dict[int, torch.Tensor]:
        tensors, _ = read_tensors(folder / FILE, "activity of gates")
        return {int(layer): activity for layer, activity in tensors.items()}

    return Stage(NAME, activity_identity(work.cell), read, load, stays=True)
