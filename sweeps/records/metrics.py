"""The metrics of a cell's record, from what was measured on the base and on the edited model."""

from collections.abc import Sequence
from typing import Any

from evaluation.comparison.compare import compare
from evaluation.measurements.measurement import Measurement


def metrics_of(base: Sequence[Measurement], edited: Sequence[Measurement], seed: int) -> dict[str, dict[str, Any]]:
    """{name: base, edited, delta, paired 95 % interval, p, n}; the selection half's names begin with `selection/`."""
    metrics = {}
    for before, after in zip(base, edited, strict=True):
        found = compare(before, after, seed)
        name = f"selection/{found.name}" if found.half == "selection" else found.name
        if name in metrics:
            raise ValueError(f"two measurements are called {name}")
        metrics[name] = {
            "base": found.base,
            "edited": found.edited,
            "delta": found.delta,
            "ci95": list(found.ci95),
            "p": found.p,
            "n": found.n,
        }
    return metrics


def without_base(value: float | None, n: int | None) -> dict[str, Any]:
    """A metric that has no base to compare with."""
    return {"base": None, "edited": value, "delta": None, "ci95": [None, None], "p": None, "n": n}
