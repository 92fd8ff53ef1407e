"""Projects the probe out of the weights that write to the stream."""

from surgery.edits.ablation import Ablation
from surgery.probe.probe import Probe
from surgery.region.region import Region
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> Ablation:
    """The ablation of the probe's direction; alpha is the share that is taken away."""
    return Ablation(probe.direction(1), work.cell.settings.alpha, work.cell.subject_fingerprint)
