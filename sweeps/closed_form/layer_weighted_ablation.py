"""Directional ablation with a strength for each layer, of attention and of the MLP apart.

Weidmann 2025, heretic (github.com/p-e-w/heretic), which searches the four numbers of each component's kernel: W_ℓ ←
W_ℓ − α·s_ℓ·d̂·d̂ᵀ·W_ℓ for o_proj and down_proj, where s_ℓ falls from max_weight at max_weight_position to min_weight at
min_weight_distance from it in a straight line, and is 0 beyond. One direction serves all layers (its `direction_scope`
global); it is that of `layer`. The embedding stays.
"""

from surgery.changes.direction import unit_vector
from surgery.edits.low_rank import LowRankChange
from surgery.edits.stream_ablation import StreamAblation
from surgery.probe.probe import Probe
from surgery.region.region import Region
from surgery.rows.locator import layer_count
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> LowRankChange | StreamAblation:
    """The ablation by `method.attention` and `method.mlp`, as factors where each matrix is a module's."""
    method, basis = work.cell.settings.method, unit_vector(probe.direction(1)).unsqueeze(0)
    assert method.attention is not None and method.mlp is not None, "it needs both kernels"
    depth = layer_count(work.model)
    strengths = {
        (component, layer): weight
        for component, kernel in (("o_proj", method.attention), ("down_proj", method.mlp))
        for layer, weight in kernel.weights(depth).items()
    }
    bases = dict.fromkeys(strengths, basis)
    ablation = StreamAblation(bases, work.cell.subject_fingerprint, work.cell.settings.alpha, strengths)
    with work.subject():
        return ablation.low_rank(work.model) or ablation
