"""A direction, and how far to go along it: what interventions share."""

import torch

from surgery.changes.alpha import ALPHA_UNITS, require_alpha
from surgery.errors import InputError


def unit_vector(direction: torch.Tensor) -> torch.Tensor:
    """The direction at norm 1, float32 [d]; raises InputError for one that is no vector, not finite, or zero."""
    norm = direction.float().norm()
    if direction.dim() != 1 or not norm.isfinite() or norm == 0:
        raise InputError("the direction must be a vector [d] that is finite and not zero")
    unit: torch.Tensor = direction.float() / norm
    return unit


def scaled(direction: torch.Tensor, alpha: float, alpha_unit: str) -> torch.Tensor:
    """alpha·direction, or alpha times the direction at norm 1, float32 [d].

    Raises:
        InputError: for an alpha or a direction that can't be used, or an unknown unit.
    """
    require_alpha(alpha)
    unit = unit_vector(direction)
    if alpha_unit not in ALPHA_UNITS:
        raise InputError(f"alpha_unit={alpha_unit} is unknown; it is one of {', '.join(ALPHA_UNITS)}")
    return alpha * (unit if alpha_unit == "unit" else direction.float())
