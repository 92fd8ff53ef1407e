"""What two edits of two sweeps measure, side by side, paired wherever both saw the same samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.comparison.compare import compare
from sweeps.records.metric import Metric
from sweeps.records.record import SAMPLES, Record
from sweeps.records.samples import edited_measurements

if TYPE_CHECKING:
    from evaluation.measurements.measurement import Measurement

Interval = tuple[float | None, float | None]


@dataclass(frozen=True)
class Difference:
    """One metric of a cell of A and of one of B, both edited.

    Attributes:
        metric: its name.
        a, b: the values of the edited models; None for what was not measured.
        ci95: of b - a, over the samples that both were measured on; None when they are not paired.
        n: how many samples were paired.
        own: each cell's own change against its base, as interval; what there is when they are not paired.
        unpaired: why they are not paired; empty when they are.
    """

    metric: str
    a: float | None
    b: float | None
    ci95: tuple[float, float] | None
    n: int | None
    own: tuple[Interval, Interval]
    unpaired: str

    @property
    def difference(self) -> float | None:
        """b - a."""
        return None if self.a is None or self.b is None else self.b - self.a


def difference(metric: str, a: Record, b: Record, folder_a: Path, folder_b: Path) -> Difference:
    """Compares one metric of two cells.

    Args:
        metric: as in the records.
        a, b: records of cells that are done.
        folder_a, folder_b: of the cells, with their samples.
    """
    of_a, of_b = a.metrics.get(metric), b.metrics.get(metric)
    own = (_own(of_a), _own(of_b))
    values = (of_a.edited if of_a else None, of_b.edited if of_b else None)
    found_a = _measured(folder_a, metric, values[0])
    found_b = _measured(folder_b, metric, values[1])
    unpaired = ""
    if found_a is None or found_b is None:
        unpaired = "no samples kept"
    elif found_a.sample_ids != found_b.sample_ids or found_a.inputs != found_b.inputs:
        unpaired = "other samples"
    else:
        try:
            paired = compare(found_a, found_b)
            return Difference(metric, *values, paired.ci95, paired.n, own, "")
        except ValueError:
            unpaired = "measured in other units"
    return Difference(metric, *values, None, None, own, unpaired)


def _own(metric: Metric | None) -> Interval:
    return (None, None) if metric is None else (metric.low, metric.high)


def _measured(folder: Path, metric: str, value: float | None) -> "Measurement | None":
    """The edited model's samples of a metric, where they make the number that was recorded."""
    found = _of_cell(folder.absolute()).get(metric)
    if found is None or value is None or not isclose(found.summary, value, rel_tol=1e-9, abs_tol=1e-12):
        return None
    return found


@lru_cache(maxsize=4)
def _of_cell(folder: Path) -> "Mapping[str, Measurement]":
    """By name in the records; read once for all metrics of a cell."""
    return edited_measurements(folder) if (folder / SAMPLES).is_file() else {}
