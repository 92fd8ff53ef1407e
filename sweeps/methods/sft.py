"""Fine-tunes a LoRA on the preferred text of each pair ("Preferred-FT" of Rafailov et al. 2023). Needs trl."""

from dataclasses import replace

from surgery.edits.low_rank import LowRankChange
from surgery.probe.probe import Probe
from surgery.region.region import Region
from surgery.training.trl_training import finetune_sft
from sweeps.methods.preference_pairs import preference_pairs
from sweeps.run.trained_change import trained, training
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> LowRankChange:
    """The LoRA, alpha times."""

    def train() -> LowRankChange:
        return finetune_sft(*work.loaded, preference_pairs(work), **training(work))

    return replace(work.take(trained(work, LowRankChange, train)), alpha=work.cell.settings.alpha)
