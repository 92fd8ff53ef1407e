"""Whether a paired difference could be chance."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FLIPS = 9_999
_NUMBERS_AT_ONCE = 4_000_000


def mcnemar_p(rises: int, falls: int) -> float:
    """Two-sided p of McNemar's exact test: of the samples that changed, as many rise as fall.

    McNemar (1947), Note on the Sampling Error of the Difference Between Correlated Proportions; exact by the binomial
    distribution. 1 where no sample changed.
    """
    from scipy.stats import binomtest

    return float(binomtest(rises, rises + falls).pvalue) if rises + falls else 1.0


def sign_flip_p(contributions: NDArray[np.float64], seed: int) -> float:
    """Two-sided p of a permutation test that exchanges base and edited within samples (`scipy.stats`).

    Exact where the samples that changed are few; else of 9,999 random exchanges, so that it is never under 2e-4.

    Args:
        contributions: [n], what each sample adds to the difference: exchanging its two scores turns the sign.
        seed: of the exchanges.
    """
    from scipy.stats import permutation_test

    changed = contributions[contributions != 0]
    # One exchange either way is as far from none.
    if len(changed) < 2:
        return 1.0

    def total(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return np.asarray(values.sum(axis=axis))

    found = permutation_test(
        (changed,),
        total,
        permutation_type="samples",
        vectorized=True,
        n_resamples=FLIPS,
        batch=max(1, _NUMBERS_AT_ONCE // len(changed)),
        random_state=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted by Holm's procedure, in the order given.

    Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6: where
    those at most 0.05 are called different, the chance that any one of them is none is at most 5 %, however the tests
    depend on each other.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * np.asarray(p_values, float)[order]))
    return [float(p) for p in adjusted]
