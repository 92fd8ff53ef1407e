"""The 95 % intervals hold the truth in 95 ± 1.5 % of 2,000 made data sets, in every setting."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from evaluation.comparison import intervals
from evaluation.comparison.compare import compare
from evaluation.measurements.measurement import Measurement

SETS = 2_000
Paired = tuple[np.ndarray, np.ndarray]


def assert_covers(held: np.ndarray) -> None:
    assert len(held) == SETS
    assert 0.935 <= held.mean() <= 0.965, held.mean()


def changes(before: float, after: float, correlation: float) -> tuple[float, float]:
    """Shares of samples that rise and fall, of two rates and the correlation between them."""
    both = before * after + correlation * np.sqrt(before * (1 - before) * after * (1 - after))
    return after - both, before - both


RATES = (0.05, 0.3, 0.5, 0.8, 0.95)
SHARES = [
    (n, before, after, correlation)
    for n in (100, 400)
    for before in RATES
    for after in RATES
    for correlation in (0.0, 0.4, 0.8)
    # Rates can only be so far apart at a correlation. Where fewer than three of n samples are expected to change,
    # most data sets hold one of a handful of outcomes, and every interval that keeps to 95 % exceeds it.
    if min(changes(before, after, correlation)) >= 0 and n * sum(changes(before, after, correlation)) >= 3
]


@cache
def tango(rises: int, falls: int, n: int) -> tuple[float, float]:
    return intervals.tango_interval(rises, falls, n)


@pytest.mark.parametrize(("n", "before", "after", "correlation"), SHARES)
def test_shares(n: int, before: float, after: float, correlation: float) -> None:
    rise, fall = changes(before, after, correlation)
    # By enumeration the coverages are 94.6 to 96.5 %. 2,000 draws err by 0.5; with this seed none errs out of bounds.
    drawn = np.random.default_rng(2).multinomial(n, [rise, fall, 1 - rise - fall], SETS)
    bounds = np.array([tango(rises, falls, n) for rises, falls, _ in drawn.tolist()])
    assert_covers((bounds[:, 0] <= after - before) & (after - before <= bounds[:, 1]))


def healed(generator: np.random.Generator, shape: tuple[int, int], share: float) -> Paired:
    """Detoxify's probabilities: most near 0, some high, of which a share fall near 0 and the rest waver."""
    low, high = generator.beta(0.3, 20, shape), generator.beta(5, 2, shape)
    base = np.where(generator.random(shape) < 0.3, high, low)
    falls = (base == high) & (generator.random(shape) < share)
    return base, np.where(falls, generator.beta(0.3, 20, shape), base + generator.normal(0, 0.02, shape))


def losses(generator: np.random.Generator, shape: tuple[int, int]) -> Paired:
    """Cross-entropies with a long tail."""
    base = generator.lognormal(0, 0.5, shape)
    return base, base + generator.lognormal(-1, 0.7, shape)


MEANS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Paired]] = {
    "most heal": lambda generator, shape: healed(generator, shape, 0.9),
    "a third heals": lambda generator, shape: healed(generator, shape, 0.33),
    "losses": losses,
}


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to find a percentile; the interval's error from them is small beside a data set's own."""
    monkeypatch.setattr(intervals, "RESAMPLES", 500)
    monkeypatch.setattr("evaluation.comparison.significance.FLIPS", 1)


def held(base: np.ndarray, edited: np.ndarray, truth: float, **fields: object) -> np.ndarray:
    ids = tuple(map(str, range(base.shape[1])))

    def interval(index: int) -> tuple[float, float]:
        one, other = (
            Measurement("x", "report", ids, scores[index], **fields)  # type: ignore[arg-type]
            for scores in (base, edited)
        )
        return compare(one, other, seed=index).ci95

    bounds = np.array([interval(index) for index in range(len(base))])
    return (bounds[:, 0] <= truth) & (truth <= bounds[:, 1])


@pytest.mark.slow
@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("made", MEANS)
def test_means(made: str) -> None:
    generator = np.random.default_rng(1)
    many = MEANS[made](generator, (2_000, 1_000))
    base, edited = MEANS[made](generator, (SETS, 100))
    assert_covers(held(base, edited, float((many[1] - many[0]).mean())))


@pytest.mark.slow
@pytest.mark.usefixtures("few_resamples")
def test_averages_over_tasks() -> None:
    generator = np.random.default_rng(2)
    sizes, before, after = (30, 60, 110), (0.9, 0.6, 0.3), (0.8, 0.55, 0.3)
    base, edited = [], []
    for size, one, other in zip(sizes, before, after, strict=True):
        rise, fall = changes(one, other, 0.5)
        kind = generator.choice(4, (SETS, size), p=[rise, fall, one - fall, 1 - one - rise])
        base.append(np.isin(kind, (1, 2)))
        edited.append(np.isin(kind, (0, 2)))
    strata = tuple(str(size) for size in sizes for _ in range(size))
    truth = float(np.mean(after) - np.mean(before))
    both = [np.concatenate(parts, axis=1).astype(float) for parts in (base, edited)]
    assert_covers(held(both[0], both[1], truth, statistic="mean_of_means", strata=strata))


@pytest.mark.slow
@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("windows", [20, 100])
def test_perplexities(windows: int) -> None:
    generator = np.random.default_rng(3)
    tokens = np.array([1023.0] * (windows - 1) + [400.0])
    base = tokens * generator.normal(2.0, 0.25, (SETS, windows))
    edited = base + tokens * generator.gamma(2.0, 0.03, (SETS, windows))
    truth = float(np.exp(2.06) - np.exp(2.0))
    assert_covers(held(base, edited, truth, statistic="perplexity", weights=tokens))
