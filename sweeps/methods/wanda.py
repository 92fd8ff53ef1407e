"""Prunes the weights that count for the behavior's texts and not for the others (Wei et al. 2024, Section 3.2)."""

from dataclasses import replace

from surgery.activity.input_norms import input_norms
from surgery.edits.pruning import Pruning, wanda_set_difference
from surgery.probe.probe import Probe
from surgery.region.region import Region
from sweeps.run.trained_change import reading, trained, training_texts
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> Pruning:
    """The pruning, alpha of each weight."""

    def choose() -> Pruning:
        behavior, utility = (
            input_norms(*work.loaded, training_texts(work, label), **reading(work), progress=work.bench.progress)
            for label in (1, 0)
        )
        return wanda_set_difference(work.model, behavior, utility, **work.cell.settings.method.numbers())

    return replace(work.take(trained(work, Pruning, choose)), alpha=work.cell.settings.alpha)
