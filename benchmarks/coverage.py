"""How often 95 % intervals hold the truth: ours beside those one would take else.

python benchmarks/coverage.py [--sets 2000]
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy.stats import bootstrap, multinomial, norm, t

from evaluation.comparison import intervals, significance
from evaluation.comparison.compare import compare
from evaluation.measurements.measurement import Measurement

N = 100
Z = norm.ppf(0.975)
Bounds = tuple[float, float]


def rare(share: float, falling: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Differences of which a share is about 0.8 in size, falling or rising; the others waver by 0.01."""

    def make(generator: np.random.Generator, sets: int) -> np.ndarray:
        shape = (sets, N)
        signs = np.where(generator.random(shape) < falling, -1, 1)
        large = generator.random(shape) < share
        return np.where(large, signs * generator.beta(8, 2, shape), generator.normal(0, 0.01, shape))

    return make


DIFFERENCES: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], float]] = {
    "3 % fall by 0.8": (rare(0.03, 1), -0.03 * 0.8),
    "5 % fall by 0.8": (rare(0.05, 1), -0.05 * 0.8),
    "10 % fall by 0.8": (rare(0.1, 1), -0.1 * 0.8),
    "5 % change by 0.8": (rare(0.05, 0.7), -0.05 * 0.8 * 0.4),
    "log-normal": (lambda generator, sets: generator.lognormal(0, 1, (sets, N)), float(np.exp(0.5))),
    "normal": (lambda generator, sets: generator.normal(0, 1, (sets, N)), 0.0),
}


def ours(values: np.ndarray) -> Bounds:
    ids = tuple(map(str, range(N)))
    base, edited = (Measurement("x", "report", ids, scores) for scores in (np.zeros(N), values))
    return compare(base, edited).ci95


def student(values: np.ndarray) -> Bounds:
    reach = t.ppf(0.975, N - 1) * values.std(ddof=1) / np.sqrt(N)
    return float(values.mean() - reach), float(values.mean() + reach)


def plain(values: np.ndarray, method: str) -> Bounds:
    generator = np.random.default_rng(0)
    found = bootstrap((values,), np.mean, n_resamples=intervals.RESAMPLES, method=method, random_state=generator)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


METHODS: dict[str, Callable[[np.ndarray], Bounds]] = {
    "shipped": ours,
    "percentile": lambda values: plain(values, "percentile"),
    "BCa": lambda values: plain(values, "BCa"),
    "t": student,
}


def bonett_price(rises: int, falls: int, n: int) -> Bounds:
    rise, fall = (rises + 1) / (n + 2), (falls + 1) / (n + 2)
    reach = Z * np.sqrt((rise + fall - (rise - fall) ** 2) / (n + 2))
    return rise - fall - reach, rise - fall + reach


def shares() -> None:
    """By enumeration: the exact coverage for pairs of rates, correlations and n."""
    rates = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    for name, interval in (("Tango", intervals.tango_interval), ("Bonett and Price", bonett_price)):
        known: dict[tuple[int, int, int], Bounds] = {}
        found = []
        for n in (100, 200, 400):
            for before, after, correlation in ((a, b, c) for a in rates for b in rates for c in (0, 0.3, 0.6, 0.9)):
                both = before * after + correlation * np.sqrt(before * (1 - before) * after * (1 - after))
                if both > min(before, after) + 1e-9:
                    continue
                rise, fall = after - both, before - both
                held = 0.0
                for rises in range(n + 1):
                    falls = np.arange(n - rises + 1)
                    counts = np.stack([np.full_like(falls, rises), falls, n - rises - falls], axis=1)
                    chances = multinomial.pmf(counts, n, [rise, fall, 1 - rise - fall])
                    for fell, chance in zip(falls[chances > 1e-7].tolist(), chances[chances > 1e-7], strict=True):
                        key = (rises, fell, n)
                        low, high = known.setdefault(key, known.get(key) or interval(*key))
                        held += chance * (low <= after - before <= high)
                found.append(held)
        coverage = 100 * np.array(found)
        inside = 100 * np.mean(np.abs(coverage - 95) <= 1.5)
        print(f"{name}: {coverage.min():.1f} to {coverage.max():.1f} %, {inside:.1f} % of {len(found)} within 95 ± 1.5")


def means(sets: int) -> None:
    print(f"{'n = 100':20}" + "".join(f"{name:>12}" for name in METHODS))
    for name, (make, truth) in DIFFERENCES.items():
        data = make(np.random.default_rng(0), sets)
        line = f"{name:20}"
        for method in METHODS.values():
            bounds = np.array([method(values) for values in data])
            line += f"{100 * ((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).mean():12.1f}"
        print(line, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=2_000)
    intervals.RESAMPLES, significance.FLIPS = 1_000, 1
    means(parser.parse_args().sets)
    shares()
