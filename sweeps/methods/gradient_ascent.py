"""Trains the model against the probe on the behavior's training texts (Table 12)."""

from dataclasses import replace

from surgery.edits.new_weights import NewWeights
from surgery.probe.probe import Probe
from surgery.region.region import Region
from surgery.training.probe_ascent import ascend_probe_loss
from sweeps.run.trained_change import trained, training, training_texts
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> NewWeights:
    """The weights that were found, alpha of the way."""

    def train() -> NewWeights:
        return ascend_probe_loss(*work.loaded, probe, training_texts(work, 1), **training(work))

    return replace(work.take(trained(work, NewWeights, train, probe.fingerprint)), alpha=work.cell.settings.alpha)
