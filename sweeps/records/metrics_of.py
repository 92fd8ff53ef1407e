"""The metrics of a cell's record, from what was measured on the base and on the edited model."""

from collections.abc import Sequence

from evaluation.comparison.compare import compare
from evaluation.measurements.measurement import Measurement
from sweeps.records.metric import Metric


def metrics_of(
    base: Sequence[Measurement], edited: Sequence[Measurement], seed: int, shown_alike: bool = True
) -> dict[str, Metric]:
    """Each pair compared (see `compare`), by what a record calls it; raises ValueError for two of one name."""
    metrics: dict[str, Metric] = {}
    for before, after in zip(base, edited, strict=True):
        metric = Metric.of(compare(before, after, seed, shown_alike))
        if metric.key in metrics:
            raise ValueError(f"two measurements are called {metric.key}")
        metrics[metric.key] = metric
    return metrics
