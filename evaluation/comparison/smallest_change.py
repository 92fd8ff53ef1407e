"""The smallest change of a share that n samples can show: known before anything is measured."""

import math
from functools import lru_cache

from evaluation.comparison.intervals import tango_interval


@lru_cache(maxsize=256)
def fewest_turned(n: int) -> int | None:
    """How many of n samples have to turn, all one way, for a share to be told from the base's; None: all are too few.

    Exact: the smallest k for which Tango's interval of k falls and no rise, by which `compare` judges shares, leaves
    out no change. Where some samples turn the other way it takes more.

    Args:
        n: samples, of base and edited model the same ones.
    """
    return next((turned for turned in range(1, n + 1) if tango_interval(0, turned, n)[1] < 0), None)


def smallest_change(n: int) -> float | None:
    """The smallest change of a share that n samples can show; None where they can show none at all."""
    turned = fewest_turned(n)
    return None if turned is None else turned / n


def samples_to_show(change: float) -> int:
    """How many samples it takes at least to tell a change of a share from none.

    At no difference Tango's score is that of McNemar, (rises - falls) / √(rises + falls), whatever n is: so the number
    of samples that have to turn is the same for all n that have as many.

    Args:
        change: of the share, 0 < |change| <= 1.
    """
    needed = next(turned for n in (10, 100) if (turned := fewest_turned(n)) is not None)
    return math.ceil(needed / abs(change) - 1e-9)
