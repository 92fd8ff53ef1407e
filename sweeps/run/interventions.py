"""Intervention: what each `method` makes of a cell, the paper's edit or one of the methods it is compared with."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from surgery.edits.ablation import Ablation
from surgery.edits.edit import Edit
from surgery.edits.gradient_ascent import ascend_probe_loss
from surgery.edits.intervention import Intervention
from surgery.edits.low_rank import LowRankChange
from surgery.edits.new_weights import NewWeights
from surgery.edits.steering import Steering
from surgery.probe.probe import Probe
from surgery.region.region import Region
from surgery.rows.locator import layer_count
from surgery.texts.text_split import split_texts
from sweeps.run.stage import Stage
from sweeps.run.stage_identities import trained_identity
from sweeps.run.workbench import CellWork

NAME, FILE = "trained", "trained.safetensors"

Maker = Callable[[CellWork, Probe, Region | None], Intervention]


def make_intervention(work: CellWork, probe: Probe, region: Region | None) -> Intervention:
    """The cell's intervention, by its `method`.

    Args:
        work: the cell.
        probe: whose direction is gone along.
        region: the rows to edit, for methods that have a region.
    """
    return _MAKERS[work.cell.settings.method.name](work, probe, region)


def _surgery(work: CellWork, probe: Probe, region: Region | None) -> Intervention:
    """Adds alpha times the probe to each row of the region (Equation 3)."""
    assert region is not None, "method=surgery has a region"
    return Edit(probe.direction(1), work.cell.settings.alpha, region, work.cell.settings.alpha_unit)


def _feature_subtraction(work: CellWork, probe: Probe, region: Region | None) -> Intervention:
    """Subtracts alpha times the probe from the last block's output (Table 2)."""
    return _steering(work, probe, layer_count(work.model))


def _activation_addition(work: CellWork, probe: Probe, region: Region | None) -> Intervention:
    """Moves the output of the probe's own layer along it."""
    return _steering(work, probe, work.cell.layer)


def _steering(work: CellWork, probe: Probe, layer: int) -> Steering:
    cell, settings = work.cell, work.cell.settings
    return Steering(probe.direction(1), settings.alpha, layer, cell.subject_fingerprint, settings.alpha_unit)


def _directional_ablation(work: CellWork, probe: Probe, region: Region | None) -> Intervention:
    """Projects the probe out of the weights that write to the stream."""
    return Ablation(probe.direction(1), work.cell.settings.alpha, work.cell.subject_fingerprint)


def _gradient_ascent(work: CellWork, probe: Probe, region: Region | None) -> Intervention:
    """Trains the model against the probe on the behavior's training texts (Table 12)."""

    def train(folder: Path) -> None:
        with work.subject():
            change = ascend_probe_loss(*work.loaded, probe, _training_texts(work, 1), **_training(work))
        change.save(folder / FILE)

    identity = trained_identity(work.cell, probe.fingerprint)
    trained = work.take(Stage(NAME, identity, train, lambda folder: NewWeights.load(folder / FILE)))
    return replace(trained, alpha=work.cell.settings.alpha)


def _lora(work: CellWork, probe: Probe, region: Region | None) -> Intervention:
    """Fine-tunes on the texts that are kept: those not of the behavior (Table 2)."""
    return replace(_finetuned(work, 0), alpha=work.cell.settings.alpha)


def _task_vector(work: CellWork, probe: Probe, region: Region | None) -> Intervention:
    """Fine-tunes on the behavior's texts, and goes the other way (Table 2)."""
    return replace(_finetuned(work, 1), alpha=-work.cell.settings.alpha)


def _finetuned(work: CellWork, label: int) -> LowRankChange:
    def train(folder: Path) -> None:
        from surgery.edits.lora_training import finetune_lora

        with work.subject():
            change = finetune_lora(*work.loaded, _training_texts(work, label), **_training(work))
        change.save(folder / FILE)

    identity = trained_identity(work.cell)
    return work.take(Stage(NAME, identity, train, lambda folder: LowRankChange.load(folder / FILE)))


def _training_texts(work: CellWork, label: int) -> list[str]:
    """The behavior's training texts of one class."""
    settings, texts = work.cell.settings, work.experiment.texts
    training, _ = split_texts(texts.labels, settings.probe.test_share, settings.seed, texts.texts)
    return [texts.texts[i] for i in training if texts.labels[i] == label]


def _training(work: CellWork) -> dict[str, Any]:
    """How a method trains, and how it reads texts."""
    settings = work.cell.settings
    reading = {"max_length": settings.behavior.max_length, "chat": settings.behavior.chat}
    return {**settings.method.numbers(), **reading, "seed": settings.seed}


_MAKERS: Mapping[str, Maker] = {
    "surgery": _surgery,
    "feature_subtraction": _feature_subtraction,
    "activation_addition": _activation_addition,
    "directional_ablation": _directional_ablation,
    "gradient_ascent": _gradient_ascent,
    "lora": _lora,
    "task_vector": _task_vector,
}
