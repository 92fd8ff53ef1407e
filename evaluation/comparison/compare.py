"""Base against edited on the same samples: the difference, its paired 95 % interval and a p-value."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.comparison.intervals import bootstrapped, middle, tango_interval
from evaluation.comparison.significance import mcnemar_p, sign_flip_p
from evaluation.measurements.measurement import Half, Measurement, by_stratum

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """An edited model beside its base.

    Attributes:
        name, half: of the measurement.
        base, edited: both summaries.
        delta: edited − base.
        ci95: its paired 95 % interval.
        p: two-sided, of no difference; not corrected for other comparisons.
        n: how many samples.
    """

    name: str
    half: Half
    base: float
    edited: float
    delta: float
    ci95: tuple[float, float]
    p: float
    n: int


def compare(base: Measurement, edited: Measurement, seed: int = 0, shown_alike: bool = True) -> Comparison:
    """The difference edited − base, paired by sample id.

    Shares (0/1 scores under `mean`) get Tango's interval and McNemar's exact test. Everything else gets a bootstrap
    over samples (within strata for `mean_of_means`; of whole windows for `perplexity`) and a sign-flip permutation
    test. Where every sample differs by the same, or there is just one, a bootstrapped interval is that one number.

    Args:
        seed: of the resampling; the same measurements and seed give the same interval and p.
        shown_alike: False where it is what the model is shown that was edited.

    Raises:
        ValueError: when the two are not the same measurement of the same samples.
    """
    edited = _paired(base, edited, shown_alike)
    delta = edited.summary - base.summary
    shares = _is_share(base.scores) and _is_share(edited.scores)
    if base.statistic == "mean" and shares:
        rises, falls = int((edited.scores > base.scores).sum()), int((edited.scores < base.scores).sum())
        interval, p = tango_interval(rises, falls, base.n), mcnemar_p(rises, falls)
    elif base.statistic == "perplexity":
        interval = _perplexity_interval(base, edited, seed)
        # Perplexities of exchanged windows differ by sinh of the summed losses' difference: the order is the same.
        p = sign_flip_p(edited.scores - base.scores, seed)
    else:
        groups = _groups(edited.scores - base.scores, base)
        interval = _mean_interval(groups, delta, shares, seed)
        # What one sample adds to the mean of means is its difference over how many there are of its group and groups.
        p = sign_flip_p(np.concatenate([group / (len(group) * len(groups)) for group in groups]), seed)
        if shares:
            interval = max(-1.0, interval[0]), min(1.0, interval[1])
    return Comparison(base.name, base.half, base.summary, edited.summary, delta, interval, p, base.n)


def band(measured: Measurement, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of one model's number over other samples, by the bootstrap that `compare` uses.

    Measurements of the same samples are resampled alike under one seed, so that bands of several models are of the
    same prompts. A share keeps a width where no sample, or every one, counts.

    Raises:
        ValueError: for a perplexity, which is no mean over samples.
    """
    if measured.statistic == "perplexity":
        raise ValueError(f"{measured.name}: a band is of a mean over samples, and a perplexity is none")
    shares = _is_share(measured.scores)
    low, high = _mean_interval(_groups(measured.scores, measured), measured.summary, shares, seed)
    return (max(0.0, low), min(1.0, high)) if shares else (low, high)


def _is_share(scores: Floats) -> bool:
    return bool(np.isin(scores, (0.0, 1.0)).all())


def _paired(base: Measurement, edited: Measurement, shown_alike: bool) -> Measurement:
    """The edited measurement with its samples in the base's order."""
    for field in ("name", "half", "statistic"):
        if getattr(base, field) != getattr(edited, field):
            raise ValueError(f"{base.name}: base and edited differ in {field}; measure both the same way")
    if base.sample_ids != edited.sample_ids:
        only_one = set(base.sample_ids) ^ set(edited.sample_ids)
        if only_one:
            raise ValueError(
                f"{base.name}: base and edited were measured on different samples; "
                f"{len(only_one)} are of one alone, {min(only_one)} say"
            )
        edited = edited.only(base.sample_ids)
    if shown_alike and base.rendered != edited.rendered:
        raise ValueError(f"{base.name}: base and edited were shown different prompts; render them once, and alike")
    if base.strata != edited.strata:
        raise ValueError(f"{base.name}: base and edited differ in strata; measure both the same way")
    if base.weights is not None and not np.array_equal(base.weights, edited.weights):  # type: ignore[arg-type]
        raise ValueError(f"{base.name}: base and edited differ in tokens a window; measure both with one tokenizer")
    return edited


def _groups(values: Floats, measured: Measurement) -> list[Floats]:
    """The values of each stratum; of all samples, where there are none."""
    return [values] if measured.strata is None else by_stratum(values, measured.strata)


def _mean_interval(groups: Sequence[Floats], value: float, shares: bool, seed: int) -> tuple[float, float]:
    """Of the mean over groups of each group's mean, which is `value`, resampled within the groups."""
    step = max(_largest(group - group.mean()) / (len(group) * len(groups)) for group in groups)
    if shares:
        # One sample of all could have changed, also where none has.
        step = max(step, 1 / sum(map(len, groups)))
    if step == 0:
        return value, value

    def statistic(*resampled: Floats, axis: int) -> Floats:
        return np.asarray(np.mean([group.mean(axis=axis) for group in resampled], axis=0))

    found, unseen = bootstrapped(groups, statistic, seed, paired=False)
    return middle(found + step * unseen)


def _perplexity_interval(base: Measurement, edited: Measurement, seed: int) -> tuple[float, float]:
    """Of P · (e^d − 1), P the base's perplexity and d the mean difference of the losses a token.

    What was not seen is added to d, so that no perplexity is below 0, however few the windows.
    """
    assert base.weights is not None
    losses, total = edited.scores - base.scores, base.weights.sum()

    def statistic(base_losses: Floats, losses: Floats, tokens: Floats, axis: int) -> Floats:
        return np.asarray(np.stack([base_losses.sum(axis=axis), losses.sum(axis=axis)]) / tokens.sum(axis=axis))

    # How far each window moves d: its derivative by the window's weight.
    step = _largest((losses - base.weights * losses.sum() / total) / total)
    found, unseen = bootstrapped([base.scores, losses, base.weights], statistic, seed, paired=True)
    return middle(np.exp(found[0]) * np.expm1(found[1] + step * unseen))


def _largest(values: Floats) -> float:
    """The largest absolute value; 0 where all are rounding alone, as of differences that are all equal."""
    largest = float(np.abs(values).max())
    return largest if largest > 1e-12 else 0.0
