"""The paper's edit: adds alpha times the probe to each row of the region (Equation 3)."""

import torch

from surgery.edits.edit import ROW_NORM, Edit
from surgery.probe.probe import Probe
from surgery.region.region import Region
from surgery.region.row_norms import row_norms
from sweeps.run.probe_stage import layer_probes
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> Edit:
    """The edit of the region's rows."""
    assert region is not None, "it needs a region"
    settings, norms = work.cell.settings, None
    if settings.alpha_unit == ROW_NORM:
        with work.subject():
            norms = row_norms(work.model, region)
    direction = probe.direction(1)
    if settings.probe.per_layer:
        probes = layer_probes(work)
        direction = torch.stack([probes[layer].direction(1) for layer in region.layers])
    return Edit(direction, settings.alpha, region, settings.alpha_unit, norms)
