"""What cosines random vectors would have, beside those of a region; without torch, for commands that only read."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any


def random_counts(told: Mapping[str, Any]) -> list[float] | None:
    """How many of as many random vectors would lie in each bin (the paper's Figure 3); None where d is not told.

    The cosine t of a fixed direction with one that is uniform on the sphere in d dimensions has the density
    proportional to (1 - t²)^((d-3)/2): (1 + t) / 2 is Beta((d-1)/2, (d-1)/2).
    """
    from scipy.stats import beta

    if "width" not in told:
        return None
    bins, half = len(told["rows"]), (told["width"] - 1) / 2
    edges = [told["reach"] * (2 * index / bins - 1) for index in range(bins + 1)]
    shares = beta.cdf([(1 + edge) / 2 for edge in edges], half, half)
    return [float(above - below) * sum(told["rows"]) for below, above in pairwise(shares)]


def random_bound(width: int) -> float:
    """The absolute cosine that 99.9 % of random vectors in d dimensions stay below."""
    from scipy.stats import beta

    half = (width - 1) / 2
    return float(1 - 2 * beta.ppf(0.0005, half, half))
