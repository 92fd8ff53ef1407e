"""Asks the model to behave, by a system prompt."""

from surgery.edits.system_turn import SystemPrompt
from surgery.probe.probe import Probe
from surgery.region.region import Region
from sweeps.run.workbench import CellWork


def make(work: CellWork, probe: Probe, region: Region | None) -> SystemPrompt:
    """The prompt that `method.system` holds; alpha, layer and probe are of no account."""
    return SystemPrompt(str(work.cell.settings.method.system), work.cell.subject_fingerprint)
