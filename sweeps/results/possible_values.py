"""What values a metric can have at all: where nothing is left to gain, and where an interval drawn has to end."""

from collections.abc import Iterable
from fnmatch import fnmatch
from typing import TypeAlias

from evaluation.robustness.relearned_names import metric_and_steps
from sweeps.records.metric import name_of

Limits: TypeAlias = tuple[float | None, float | None]

# Everything else that is measured is a share, as long as its values are: docs/measurements.md.
NO_SHARES: tuple[tuple[str, Limits], ...] = (
    ("*/unended", (0.0, 1.0)),
    ("*perplexity*", (1.0, None)),
    ("*loss*", (0.0, None)),
    ("divergence/*", (0.0, None)),
    ("*length*", (0.0, None)),
    ("guard/*/kappa", (-1.0, 1.0)),
    ("*bits_per_byte*", (0.0, None)),
    ("*likelihood*", (None, None)),
)


def possible(metric: str, values: Iterable[float | None]) -> Limits:
    """The lowest and the highest value that a metric can have; None where there is no end.

    Args:
        metric: as in the records.
        values: that were measured of it. A metric of somebody's own is taken for a share where all are from 0 to 1.
    """
    known = [value for value in values if value is not None]
    name, _ = metric_and_steps(name_of(metric))
    limits = next((limits for pattern, limits in NO_SHARES if fnmatch(name, pattern)), (0.0, 1.0))
    low, high = limits
    # Where a value lies beyond, the name says something else here than it does to us.
    if low is not None and any(value < low for value in known):
        low = None
    if high is not None and any(value > high for value in known):
        high = None
    return low, high
