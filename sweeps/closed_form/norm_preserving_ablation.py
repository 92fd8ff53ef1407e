"""Directional ablation that leaves each vector its norm, and leaves alone what the harmless texts share.

Lai 2025, "Norm-Preserving Biprojected Abliteration" (huggingface.co/blog/grimjim). At each layer ℓ the direction d
loses what it has of the mean harmless state μ_ℓ: r_ℓ = d − (d·μ̂_ℓ)·μ̂_ℓ. Then every vector w that o_proj and down_proj
write to the stream turns away from r̂_ℓ and keeps its norm: w ← ‖w‖·u/‖u‖ with u = w − α·(w·r̂_ℓ)·r̂_ℓ. The embedding
stays.
"""

import torch

from surgery.changes.direction import unit_vector
from surgery.edits.stream_ablation import StreamAblation
from surgery.probe.probe import Probe
from surgery.region.region import Region
from surgery.rows.locator import WRITES_TO_STREAM
from sweeps.run.states_stage import training_states
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> StreamAblation:
    """The ablation of `method.layers`; alpha is the share that is taken away."""
    bases: dict[tuple[str, int], torch.Tensor] = {}
    direction = probe.direction(1)
    for layer in work.cell.layers:
        harmless, _ = training_states(work, layer)
        mean = unit_vector(harmless.mean(0))
        basis = unit_vector(direction - (direction @ mean) * mean).unsqueeze(0)
        bases |= {(component, layer): basis for component in WRITES_TO_STREAM}
    return StreamAblation(bases, work.cell.subject_fingerprint, work.cell.settings.alpha, keep_norms=True)
