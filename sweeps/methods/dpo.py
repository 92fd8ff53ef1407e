"""Trains a LoRA to prefer texts that are not of the behavior, by direct preference optimization (Table 2).

Rafailov et al. 2023, Equation 7. Needs trl.
"""

from surgery.edits.low_rank import LowRankChange
from surgery.probe.probe import Probe
from surgery.region.region import Region
from surgery.training.trl_training import finetune_dpo
from sweeps.methods.preference_pairs import trained_on_pairs
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> LowRankChange:
    """The LoRA, alpha times."""
    return trained_on_pairs(work, finetune_dpo)
