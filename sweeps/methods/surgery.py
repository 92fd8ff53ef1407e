"""The paper's edit: adds alpha times the probe to each row of the region (Equation 3)."""

import torch

from surgery.edits.edit import Edit
from surgery.probe.probe import Probe
from surgery.region.region import Region
from sweeps.run.probe_stage import layer_probes
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> Edit:
    """The edit of the region's rows."""
    assert region is not None, "it needs a region"
    settings = work.cell.settings
    direction = probe.direction(1)
    if settings.probe.per_layer:
        probes = layer_probes(work)
        direction = torch.stack([probes[layer].direction(1) for layer in region.layers])
    return Edit(direction, settings.alpha, region, settings.alpha_unit)
