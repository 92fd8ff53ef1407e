"""Base against edited on the same samples: the difference and its paired 95 % interval."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.measurement import Half, Measurement, by_stratum

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RESAMPLES = 2_000
_NORMAL_975 = 1.959963984540054
_NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Comparison:
    """An edited model beside its base: both summaries, edited − base, its 95 % interval and the samples' number."""

    name: str
    half: Half
    base: float
    edited: float
    delta: float
    ci95: tuple[float, float]
    n: int


def compare(base: Measurement, edited: Measurement, seed: int = 0) -> Comparison:
    """The difference edited − base with a paired 95 % interval.

    Shares (0/1 scores under `mean`) get the closed form of Bonett and Price; it keeps a width when no sample
    changed, since n samples can't show that none would. Everything else gets a percentile bootstrap over samples
    (`scipy.stats.bootstrap`): within strata for `mean_of_means`, of whole windows for `perplexity`. Where
    resampling can't change the difference (every sample differs by the same, or there is just one sample) the
    interval is that one number.

    Args:
        seed: of the resampling; the same measurements and seed give the same interval.

    Raises:
        ValueError: when the two are not the same measurement of the same samples.
    """
    _require_same_samples(base, edited)
    delta = edited.summary - base.summary
    if base.statistic == "mean" and _is_share(base.scores) and _is_share(edited.scores):
        interval = bonett_price_interval(base.scores, edited.scores)
    elif base.statistic == "perplexity":
        interval = _perplexity_interval(base, edited, delta, seed)
    else:
        differences = edited.scores - base.scores
        groups = [differences] if base.strata is None else by_stratum(differences, base.strata)
        interval = _mean_interval(groups, delta, seed)
    return Comparison(base.name, base.half, base.summary, edited.summary, delta, interval, base.n)


def bonett_price_interval(base: NDArray[np.float64], edited: NDArray[np.float64]) -> tuple[float, float]:
    """Adjusted Wald interval for edited − base of paired shares: two arrays [n] of 0 and 1.

    Bonett and Price (2012), Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on
    Paired Data, Journal of Educational and Behavioral Statistics 37(4): one is added to each kind of change.
    """
    n = len(base)
    rises = (float(((base == 0) & (edited == 1)).sum()) + 1) / (n + 2)
    falls = (float(((base == 1) & (edited == 0)).sum()) + 1) / (n + 2)
    centre = rises - falls
    reach = _NORMAL_975 * np.sqrt((rises + falls - centre**2) / (n + 2))
    return float(max(-1.0, centre - reach)), float(min(1.0, centre + reach))


def _is_share(scores: NDArray[np.float64]) -> bool:
    return bool(np.isin(scores, (0.0, 1.0)).all())


def _require_same_samples(base: Measurement, edited: Measurement) -> None:
    for field in ("name", "half", "statistic", "strata"):
        if getattr(base, field) != getattr(edited, field):
            raise ValueError(f"{base.name}: base and edited differ in {field}; measure both the same way")
    if base.sample_ids != edited.sample_ids:
        raise ValueError(f"{base.name}: base and edited were measured on different samples, or in another order")
    if base.weights is not None and not np.array_equal(base.weights, edited.weights):  # type: ignore[arg-type]
        raise ValueError(f"{base.name}: base and edited differ in tokens a window; measure both with one tokenizer")


def _mean_interval(groups: list[NDArray[np.float64]], delta: float, seed: int) -> tuple[float, float]:
    """Interval of the mean over groups of each group's mean, resampled within the groups."""
    if all((group == group[0]).all() for group in groups):
        return delta, delta
    # scipy wants two observations a group; a lone one, said twice, is as constant as it is.
    data = [np.repeat(group, 2) if len(group) == 1 else group for group in groups]

    def statistic(*resampled: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return np.asarray(np.mean([group.mean(axis=axis) for group in resampled], axis=0))

    return _bootstrap(data, statistic, seed, paired=False)


def _perplexity_interval(base: Measurement, edited: Measurement, delta: float, seed: int) -> tuple[float, float]:
    assert base.weights is not None
    if base.n == 1 or np.array_equal(base.scores, edited.scores):
        return delta, delta

    def statistic(
        base_losses: NDArray[np.float64], edited_losses: NDArray[np.float64], tokens: NDArray[np.float64], axis: int
    ) -> NDArray[np.float64]:
        total = tokens.sum(axis=axis)
        edited_perplexity = np.exp(edited_losses.sum(axis=axis) / total)
        return np.asarray(edited_perplexity - np.exp(base_losses.sum(axis=axis) / total))

    return _bootstrap([base.scores, edited.scores, base.weights], statistic, seed, paired=True)


def _bootstrap(
    data: "Sequence[NDArray[np.float64]]",
    statistic: "Callable[..., NDArray[np.float64]]",
    seed: int,
    *,
    paired: bool,
) -> tuple[float, float]:
    from scipy.stats import bootstrap

    interval = bootstrap(
        data,
        statistic,
        paired=paired,
        vectorized=True,
        n_resamples=RESAMPLES,
        # Resampling is done in chunks, so that a benchmark of 14,000 questions does not take gigabytes.
        batch=max(1, _NUMBERS_AT_ONCE // sum(len(group) for group in data)),
        confidence_level=0.95,
        method="percentile",
        # A Generator: an int would be passed through numpy's RandomState by older scipy versions.
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
