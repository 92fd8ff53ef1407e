"""The Pareto front: the cells that no other cell beats in everything."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from sweeps.records.metric import Metrics, value_of

Direction = Literal["minimize", "maximize"]


def pareto_front(rows: Sequence[Metrics], names: Sequence[str], directions: Sequence[Direction]) -> list[int]:
    """Indices of the rows that no other row is at least as good as in all metrics and better than in one.

    Rows that are equal in all metrics are all on the front or all off it. A row that lacks one of the metrics is off
    it. Values are those a choice looks at: of the selection half where there is one.

    Args:
        rows: the metrics of each cell, as a record has them; leave degenerate cells out.
        names: the metrics.
        directions: of each metric, `minimize` or `maximize`.

    Raises:
        ValueError: when names and directions are not equally many.
    """
    signs = [1.0 if direction == "minimize" else -1.0 for direction in directions]
    if len(names) != len(directions):
        raise ValueError(f"{len(names)} metrics, but {len(directions)} directions")
    found = [[value_of(row, name, "edited") for name in names] for row in rows]
    values = np.array(found, dtype=np.float64).reshape(len(rows), len(names)) * signs
    complete = np.flatnonzero(np.isfinite(values).all(axis=1))
    # Equal rows share their fate. Beating is transitive: what a beaten one beats, its better beats too.
    different, which = np.unique(values[complete], axis=0, return_inverse=True)
    left = np.arange(len(different))
    for index in range(len(different)):
        if index in left:
            left = left[(different[left] < different[index]).any(axis=1) | (left == index)]
    return [int(index) for index in complete[np.isin(which.reshape(-1), left)]]
