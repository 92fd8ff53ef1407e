"""The front of what a report draws: for looking, not for choosing."""

from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.records.metric import Metric
from sweeps.results.pareto import Direction, pareto_front


def front_of(rows: Sequence[Mapping[str, Any]], metrics: tuple[str, str], better: Mapping[str, Direction]) -> list[str]:
    """The cells that no other is better than in both metrics, those aside that broke the text; none for one metric.

    Args:
        rows: of a report's `Contents`.
        metrics: two names.
        better: the better direction of each metric.
    """
    if metrics[0] == metrics[1]:
        return []
    sound = [row for row in rows if not row["broken"]]
    edited = [
        {name: Metric(name, edited=row["metrics"][name][1]) for name in metrics if name in row["metrics"]}
        for row in sound
    ]
    return [sound[index]["cell"] for index in pareto_front(edited, metrics, [better[name] for name in metrics])]
