"""The paper's edit: adds alpha times the probe to each row of the region (Equation 3)."""

from surgery.edits.edit import Edit
from surgery.probe.probe import Probe
from surgery.region.region import Region
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> Edit:
    """The edit of the region's rows."""
    assert region is not None, "it needs a region"
    settings = work.cell.settings
    return Edit(probe.direction(1), settings.alpha, region, settings.alpha_unit)
