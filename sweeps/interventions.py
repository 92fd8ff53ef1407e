"""What each `method` makes of a cell: the paper's edit, or one of the methods it is compared with."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from surgery.ablation import Ablation
from surgery.edit import Edit
from surgery.intervention import Intervention
from surgery.locator import layer_count
from surgery.steering import Steering
from sweeps.plan import Experiment

if TYPE_CHECKING:
    from sweeps.session import Session

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
    return Steering(direction, cell.settings.alpha, layer, cell.model_fingerprint, cell.settings.alpha_unit)


def _directional_ablation(session: "Session", experiment: Experiment) -> Intervention:
    """Projects the probe out of the weights that write to the stream."""
    cell = experiment.cell
    session.require_same_model(experiment)
    return Ablation(session.direction_probe(experiment).direction(1), cell.settings.alpha, cell.model_fingerprint)


_MAKERS: Mapping[str, Maker] = {
    "surgery": _surgery,
    "feature_subtraction": _feature_subtraction,
    "activation_addition": _activation_addition,
    "directional_ablation": _directional_ablation,
}
