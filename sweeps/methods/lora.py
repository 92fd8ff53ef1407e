"""Fine-tunes on the texts that are kept: those not of the behavior (Table 2)."""

from dataclasses import replace

from surgery.edits.low_rank import LowRankChange
from surgery.probe.probe import Probe
from surgery.region.region import Region
from surgery.training.lora_training import finetune_lora
from sweeps.run.trained_change import trained, training, training_texts
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> LowRankChange:
    """The LoRA, alpha times."""
    return replace(finetuned(work, 0), alpha=work.cell.settings.alpha)


def finetuned(work: CellWork, label: int) -> LowRankChange:
    """A LoRA trained to continue the texts of one class."""

    def train() -> LowRankChange:
        return finetune_lora(*work.loaded, training_texts(work, label), **training(work))

    method = ("lora", "task_vector")[label]
    return work.take(trained(work, LowRankChange, train, method=method))
