"""Paired 95 % intervals: Tango's for shares, a bootstrap for everything else."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2_000
_NORMAL_975 = 1.959963984540054
_NUMBERS_AT_ONCE = 4_000_000
# Halvings of [-1, 1]: as exact as a float64 can say it.
_HALVINGS = 54

Floats = NDArray[np.float64]


def tango_interval(rises: int, falls: int, n: int) -> tuple[float, float]:
    """Score interval for edited − base of paired shares.

    Tango (1998), Equivalence Test and Confidence Interval for the Difference in Proportions for the Paired-Sample
    Design, Statistics in Medicine 17: all differences that a score test at 5 % would not reject. It keeps a width
    where no sample changed, since n samples can't show that none would.

    Args:
        rises, falls: how many of the n samples went from 0 to 1, and from 1 to 0.
    """
    observed = (rises - falls) / n

    def bound(outside: float, sign: float) -> float:
        """The last difference that is not rejected, between the observed one and ±1."""
        inside = observed
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            if sign * _tango_score(rises, falls, n, middle) <= _NORMAL_975:
                inside = middle
            else:
                outside = middle
        return inside

    return bound(-1.0, 1.0), bound(1.0, -1.0)


def _tango_score(rises: int, falls: int, n: int, difference: float) -> float:
    """The score statistic of a difference, with the share of falls that is likeliest under it (a quadratic's root)."""
    linear = (2 * n - rises + falls) * difference - rises - falls
    constant = -falls * difference * (1 - difference)
    fall_share = (np.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * fall_share + difference * (1 - difference))
    distance = rises - falls - n * difference
    if variance <= 0:
        return float(np.sign(distance) * np.inf) if distance else 0.0
    return float(distance / np.sqrt(variance))


def bootstrapped(
    data: Sequence[Floats], statistic: Callable[..., Floats], seed: int, *, paired: bool
) -> tuple[Floats, Floats]:
    """A statistic resampled by `scipy.stats.bootstrap`, and half a rise and half a fall more than were seen.

    Of 100 samples few of which changed, a percentile interval holds the truth in 87 to 92 % where it says 95: the
    changes that were not met are missing from it. For shares one adds pseudo-observations of each kind (Bonett and
    Price 2012). Here half a one of each is to be added to the resampled statistic, as large as the largest that a
    sample had; a bootstrap draws one sample Poisson(1) times, and so half a one Poisson(1/2) times. Of halves, whole
    ones and none, halves come nearest to 95 % (`tests/evaluation/test_coverage.py` holds them to 95 ± 1.5).

    Args:
        data: arrays [n], resampled together where they are paired, else each by itself.
        statistic: of the resampled arrays, with `axis`.
        seed: of the resampling.

    Returns:
        [..., RESAMPLES], and [RESAMPLES]: rises minus falls that were not seen.
    """
    from scipy.stats import bootstrap

    generator = np.random.default_rng(seed)
    found = bootstrap(
        # scipy wants two observations a group; a lone one, said twice, is as constant as it is.
        [np.repeat(group, 2) if len(group) == 1 else group for group in data],
        statistic,
        paired=paired,
        vectorized=True,
        n_resamples=RESAMPLES,
        # Resampling is done in chunks, so that a benchmark of 14,000 questions does not take gigabytes.
        batch=max(1, _NUMBERS_AT_ONCE // sum(len(group) for group in data)),
        method="percentile",
        # A Generator: an int would be passed through numpy's RandomState by older scipy versions.
        random_state=generator,
    ).bootstrap_distribution
    rises, falls = generator.poisson(0.5, (2, RESAMPLES))
    return found, np.asarray(rises - falls, dtype=np.float64)


def middle(values: Floats) -> tuple[float, float]:
    """The ends of the middle 95 %."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
