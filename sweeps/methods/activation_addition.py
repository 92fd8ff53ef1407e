"""Moves the output of the probe's own layer along it."""

from surgery.edits.steering import Steering
from surgery.probe.probe import Probe
from surgery.region.region import Region
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> Steering:
    """The steering of the probe's layer."""
    return steering(work, probe, work.cell.layer)


def steering(work: CellWork, probe: Probe, layer: int) -> Steering:
    """Alpha times the probe, subtracted from the output of a block."""
    cell, settings = work.cell, work.cell.settings
    return Steering(probe.direction(1), settings.alpha, layer, cell.subject_fingerprint, settings.alpha_unit)
