"""The subspace that the texts of the two classes differ in, taken out of what the MLPs write.

ProFS, first called DeTox: Uppaal et al. 2025, "Model Editing as a Robust and Denoised variant of DPO" (ICLR 2025),
Algorithm 1. At each layer ℓ the differences of paired states T⁰ = X⁺ − X⁻ lose what the harmless states share, T =
T⁰·(I − μ̂·μ̂ᵀ), with μ the mean of X⁻ (the authors' code takes the first right singular vector of X⁻). The first `rank`
right singular vectors V of T span the subspace, and down_proj becomes (I − α·V·Vᵀ)·W. The authors have pairs of
continuations of one prompt; a behavior here has labelled texts, so each text to avoid is paired with one drawn from the
others, by `seed`.
"""

import torch

from surgery.changes.direction import unit_vector
from surgery.edits.low_rank import LowRankChange
from surgery.edits.stream_ablation import StreamAblation
from surgery.errors import InputError
from surgery.probe.probe import Probe
from surgery.region.region import Region
from sweeps.run.states_stage import training_states
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> LowRankChange | StreamAblation:
    """The projection of `method.layers`, as factors where each matrix is a module's; alpha is the share taken away."""
    settings = work.cell.settings
    rank = settings.method.rank
    assert rank is not None, "it needs a rank"
    bases = {}
    for layer in work.cell.layers:
        harmless, avoided = training_states(work, layer)
        bases["down_proj", layer] = differing_subspace(harmless, avoided, rank, settings.seed)
    ablation = StreamAblation(bases, work.cell.subject_fingerprint, settings.alpha)
    with work.subject():
        return ablation.low_rank(work.model) or ablation


def differing_subspace(harmless: torch.Tensor, avoided: torch.Tensor, rank: int, seed: int) -> torch.Tensor:
    """An orthonormal basis [rank, d] of what the states of two classes differ in.

    Args:
        harmless, avoided: states [n0, d] and [n1, d]; as many pairs are drawn as the smaller class has texts.
        rank: of the subspace.
        seed: of the pairs.

    Raises:
        InputError: for a rank that the pairs, or the width less the harmless mean, do not give.
    """
    pairs, width = min(len(harmless), len(avoided)), harmless.shape[1]
    if rank > min(pairs, width - 1):
        raise InputError(
            f"method.rank={rank} is not possible with {pairs} pairs of texts and states {width} wide; "
            f"it is at most {min(pairs, width - 1)}"
        )
    generator = torch.Generator().manual_seed(seed)
    kept, away = (torch.randperm(len(states), generator=generator)[:pairs] for states in (harmless, avoided))
    differences, mean = avoided[away] - harmless[kept], unit_vector(harmless.mean(0))
    differences = differences - (differences @ mean).unsqueeze(1) * mean
    basis: torch.Tensor = torch.linalg.svd(differences, full_matrices=False).Vh[:rank].contiguous()
    return basis
