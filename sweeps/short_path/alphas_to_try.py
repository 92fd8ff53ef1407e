"""Which alphas a small sweep tries on a model that nobody has tried any on."""

from dataclasses import dataclass

import torch

from surgery.errors import InputError
from surgery.model.offload import Weights
from surgery.rows.locator import locate
from sweeps.plan.experiment import Experiment
from sweeps.records.base_model import load_cell_model

# ‖alpha · direction‖ over the median norm of the candidate rows.
STEPS = (0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class AlphasToTry:
    """Alphas in the unit of the cell that they were asked for, and why these, for a person."""

    alphas: tuple[float, ...]
    said: str


def alphas_to_try(experiment: Experiment) -> AlphasToTry:
    """Steps of half to eight times the median norm of the rows that may be edited.

    Args:
        experiment: a checked cell; its model is loaded, its alpha is of no account.

    Raises:
        InputError: in raw units, where the direction's norm is known once its probe is fitted.
    """
    settings = experiment.cell.settings
    if settings.alpha_unit != "unit":
        raise InputError("alpha_unit=raw is asked for and no alpha; say alpha=..., or leave alpha_unit out")
    model, _ = load_cell_model(experiment.config)
    weights = Weights(model)
    norms = [
        torch.linalg.vector_norm(home.view(weights[home.parameter]).float(), dim=-1).flatten().cpu()
        for home in locate(model, settings.region.component)
    ]
    median = float(torch.cat(norms).median())
    alphas = tuple(float(f"{step * median:.3g}") for step in STEPS)
    steps = ", ".join(f"{step:g}" for step in STEPS)
    return AlphasToTry(alphas, f"steps of {steps} times the median norm of the rows, {median:.3g}")
