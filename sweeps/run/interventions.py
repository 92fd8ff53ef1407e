"""What each `method` makes of a cell: the paper's edit, or one of the methods it is compared with."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from surgery.edits.ablation import Ablation
from surgery.edits.edit import Edit
from surgery.edits.gradient_ascent import ascend_probe_loss
from surgery.edits.intervention import Intervention
from surgery.edits.low_rank import LowRankChange
from surgery.edits.new_weights import NewWeights
from surgery.edits.steering import Steering
from surgery.rows.locator import layer_count
from surgery.texts.text_split import split_texts
from sweeps.plan.plan import Experiment
from sweeps.run.stages import trained_identity

if TYPE_CHECKING:
    from sweeps.run.session import Session

TRAINED = "trained.safetensors"

Maker = Callable[["Session", Experiment], Intervention]


def make_intervention(session: "Session", experiment: Experiment) -> Intervention:
    """The cell's intervention, by its `method`."""
    return _MAKERS[experiment.cell.settings.method.name](session, experiment)


def _surgery(session: "Session", experiment: Experiment) -> Intervention:
    """Adds alpha times the probe to each row of the region (Equation 3)."""
    settings = experiment.cell.settings
    direction = session.direction_probe(experiment).direction(1)
    return Edit(direction, settings.alpha, session.region(experiment), settings.alpha_unit)


def _feature_subtraction(session: "Session", experiment: Experiment) -> Intervention:
    """Subtracts alpha times the probe from the last block's output (Table 2)."""
    model, _ = session.model(experiment.cell.settings.model)
    return _steering(session, experiment, layer_count(model))


def _activation_addition(session: "Session", experiment: Experiment) -> Intervention:
    """Moves the output of the probe's own layer along it."""
    return _steering(session, experiment, experiment.cell.layer)


def _steering(session: "Session", experiment: Experiment, layer: int) -> Steering:
    cell = experiment.cell
    session.require_same_model(experiment)
    direction = session.direction_probe(experiment).direction(1)
    return Steering(direction, cell.settings.alpha, layer, cell.subject_fingerprint, cell.settings.alpha_unit)


def _directional_ablation(session: "Session", experiment: Experiment) -> Intervention:
    """Projects the probe out of the weights that write to the stream."""
    cell = experiment.cell
    session.require_same_model(experiment)
    return Ablation(session.direction_probe(experiment).direction(1), cell.settings.alpha, cell.subject_fingerprint)


def _gradient_ascent(session: "Session", experiment: Experiment) -> Intervention:
    """Trains the model against the probe on the behavior's training texts (Table 12)."""
    cell, texts, settings = experiment.cell, experiment.texts, experiment.cell.settings
    session.require_same_model(experiment)
    probe = session.direction_probe(experiment)

    def train(folder: Path) -> None:
        training, _ = split_texts(texts.labels, settings.probe.test_share, settings.seed, texts.texts)
        with session.subject(experiment):
            change = ascend_probe_loss(
                *session.model(settings.model),
                probe,
                [texts.texts[i] for i in training if texts.labels[i] == 1],
                **settings.method.numbers(),
                max_length=settings.behavior.max_length,
                chat=settings.behavior.chat,
                seed=settings.seed,
            )
        change.save(folder / TRAINED)

    identity = trained_identity(cell, probe.fingerprint)
    trained = session.kept(experiment, "trained", identity, train, lambda folder: NewWeights.load(folder / TRAINED))
    return replace(trained, alpha=settings.alpha)


def _lora(session: "Session", experiment: Experiment) -> Intervention:
    """Fine-tunes on the texts that are kept: those not of the behavior (Table 2)."""
    return replace(_finetuned(session, experiment, 0), alpha=experiment.cell.settings.alpha)


def _task_vector(session: "Session", experiment: Experiment) -> Intervention:
    """Fine-tunes on the behavior's texts, and goes the other way (Table 2)."""
    return replace(_finetuned(session, experiment, 1), alpha=-experiment.cell.settings.alpha)


def _finetuned(session: "Session", experiment: Experiment, label: int) -> LowRankChange:
    cell, texts, settings = experiment.cell, experiment.texts, experiment.cell.settings
    session.require_same_model(experiment)

    def train(folder: Path) -> None:
        from surgery.edits.lora_training import finetune_lora

        training, _ = split_texts(texts.labels, settings.probe.test_share, settings.seed, texts.texts)
        with session.subject(experiment):
            change = finetune_lora(
                *session.model(settings.model),
                [texts.texts[i] for i in training if texts.labels[i] == label],
                **settings.method.numbers(),
                max_length=settings.behavior.max_length,
                chat=settings.behavior.chat,
                seed=settings.seed,
            )
        change.save(folder / TRAINED)

    identity = trained_identity(cell)
    return session.kept(experiment, "trained", identity, train, lambda folder: LowRankChange.load(folder / TRAINED))


_MAKERS: Mapping[str, Maker] = {
    "surgery": _surgery,
    "feature_subtraction": _feature_subtraction,
    "activation_addition": _activation_addition,
    "directional_ablation": _directional_ablation,
    "gradient_ascent": _gradient_ascent,
    "lora": _lora,
    "task_vector": _task_vector,
}
