"""Which of a sweep's many differences are there, when so many were looked for."""

from collections.abc import Sequence
from typing import Protocol

from sweeps.records.record import Status
from sweeps.results.broken_text import Measured
from sweeps.results.headlines import headline_metrics

FALSE_DISCOVERIES = 0.05


class Compared(Measured, Protocol):
    """A record, or seeds pooled into one."""

    @property
    def cell(self) -> str:
        """Its id."""
        ...

    @property
    def status(self) -> Status:
        """Whether it was finished."""
        ...


def adjusted(records: Sequence[Compared], names: Sequence[str] | None = None) -> dict[tuple[str, str], float]:
    """{(cell, metric): p adjusted by Benjamini and Hochberg's procedure} over all given cells and metrics together.

    Benjamini and Hochberg (1995), Controlling the False Discovery Rate: of the differences whose adjusted p is at most
    0.05, at most 5 % are expected to be chance. Cells share prompts and a base, so their tests depend on each other
    positively, under which the procedure holds (Benjamini and Yekutieli 2001).

    Args:
        records: of the cells; those that were not finished, and metrics without a p, count for nothing.
        names: the metrics; without them the headline metrics of a table.
    """
    from scipy.stats import false_discovery_control

    chosen = headline_metrics(records) if names is None else names
    found = {
        (record.cell, name): float(p)
        for record in records
        if record.status == "done"
        for name in chosen
        if name in record.metrics and (p := record.metrics[name].p) is not None
    }
    if not found:
        return {}
    return dict(zip(found, false_discovery_control(list(found.values()), method="bh").tolist(), strict=True))


def significant(records: Sequence[Compared], names: Sequence[str] | None = None) -> dict[tuple[str, str], bool]:
    """{(cell, metric): whether its difference stays significant at a false discovery rate of 5 %}; see `adjusted`."""
    return {key: p <= FALSE_DISCOVERIES for key, p in adjusted(records, names).items()}
