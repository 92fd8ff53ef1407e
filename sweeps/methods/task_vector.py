"""Fine-tunes on the behavior's texts, and goes the other way (Table 2)."""

from dataclasses import replace

from surgery.edits.low_rank import LowRankChange
from surgery.probe.probe import Probe
from surgery.region.region import Region
from sweeps.methods.lora import finetuned
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> LowRankChange:
    """The LoRA of the behavior's texts, subtracted alpha times."""
    return replace(finetuned(work, 1), alpha=-work.cell.settings.alpha)
