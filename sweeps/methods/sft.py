"""Fine-tunes a LoRA on the preferred text of each pair ("Preferred-FT" of Rafailov et al. 2023). Needs trl."""

from surgery.edits.low_rank import LowRankChange
from surgery.probe.probe import Probe
from surgery.region.region import Region
from surgery.training.trl_training import finetune_sft
from sweeps.methods.preference_pairs import trained_on_pairs
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> LowRankChange:
    """The LoRA, alpha times."""
    return trained_on_pairs(work, finetune_sft)
