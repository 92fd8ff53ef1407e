"""What alpha can be."""

import math

from surgery.errors import InputError

POSSIBLE_ALPHA = "it is any finite number but 0"
# `raw` takes alpha times a direction as it is, `unit` alpha times the direction at norm 1.
ALPHA_UNITS = ("raw", "unit")


def require_alpha(alpha: float) -> float:
    """The alpha; raises InputError unless it is finite and not 0, which would change nothing."""
    if not math.isfinite(alpha) or alpha == 0:
        raise InputError(f"alpha={alpha} is not possible; {POSSIBLE_ALPHA}")
    return alpha
