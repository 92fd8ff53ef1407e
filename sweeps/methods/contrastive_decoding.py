"""Decodes in contrast to a LoRA of the behavior's texts, an anti-expert (DExperts: Liu et al. 2021, Equation 1)."""

from surgery.edits.contrast import ContrastiveDecoding
from surgery.probe.probe import Probe
from surgery.region.region import Region
from sweeps.methods.lora import finetuned
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> ContrastiveDecoding:
    """The contrast, alpha times the difference of the logits."""
    return ContrastiveDecoding(finetuned(work, 1), work.cell.settings.alpha)
