"""Neurons weakened by how far what they write points along the behavior.

The value vector of an MLP's neuron, its column of down_proj, is what it adds to the stream (Geva et al. 2022). Those of
toxicity are found by their cosine with a probe, and scaling their neurons switches it on and off (Lee et al. 2024, "A
Mechanistic Understanding of Alignment Algorithms"); that each is dampened by how much it is of the behavior is from
Suau et al. 2024, "Whispering Experts", who measure that otherwise. Here a neuron i of the region has its vector w_i of
`region.component` scaled, w_i ← (1 − α·cos(value_i, probe))·w_i. By default the region is the `top_k` columns of
down_proj of highest cosine; of gate_proj or up_proj it is the neurons' rows there, by their own order.
"""

from surgery.edits.row_scaling import RowScaling, value_cosines
from surgery.probe.probe import Probe
from surgery.region.region import Region
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> RowScaling:
    """The scaling of the region's rows."""
    assert region is not None, "it needs a region"
    with work.subject():
        cosines = value_cosines(work.model, probe.direction(1), region)
    return RowScaling(region, cosines, work.cell.settings.alpha)
