"""Subtracts alpha times the probe from the last block's output (Table 2)."""

from surgery.edits.steering import Steering
from surgery.probe.probe import Probe
from surgery.region.region import Region
from surgery.rows.locator import layer_count
from sweeps.methods.activation_addition import steering
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> Steering:
    """The steering of the last block."""
    return steering(work, probe, layer_count(work.model))
