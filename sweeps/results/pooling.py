"""Cells that differ only in their seed, as one."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from surgery.errors import InputError
from sweeps.cell.canonical_json import canonical_json
from sweeps.records.metric import Metric, Metrics
from sweeps.records.metrics_of import metrics_of
from sweeps.records.record import SAMPLES, Record, Status
from sweeps.records.samples import measurement, read_samples

if TYPE_CHECKING:
    import pandas as pd

    from evaluation.measurements.measurement import Half, Measurement

_COLUMNS = ["measurement", "half", "sample", "base_score", "edited_score", "weight", "stratum"]


@dataclass(frozen=True)
class Pooled:
    """Cells that differ only in their seed; or one cell that stands alone.

    Attributes:
        cells: their ids, by seed.
        seeds: of the cells.
        keys: what they share, without `seed`.
        metrics: as in a record, each with its `seeds`.
    """

    cells: tuple[str, ...]
    seeds: tuple[int, ...]
    keys: Mapping[str, Any]
    metrics: Metrics

    status: ClassVar[Status] = "done"

    @property
    def cell(self) -> str:
        """The id of the first, which stands for them."""
        return self.cells[0]


def pool(records: Sequence[Record], folder: Path, known: MutableMapping[Any, Pooled] | None = None) -> list[Pooled]:
    """Finished cells with their seeds pooled, in the order the first of each was given.

    Every sample's scores are averaged over the seeds, and base and edited are compared sample by sample as for one
    cell: a prompt that was measured with three seeds is one prompt. So the mean of a rate is over samples and seeds,
    a perplexity is exp of the mean loss over all windows and seeds, and the interval is of other samples; other seeds
    are what `sd_over_seeds` tells of. A sample that only some seeds have (a probe's test texts) is averaged over
    those.

    Args:
        records: of a sweep.
        folder: the sweep's, with the samples of each cell.
        known: what was pooled before, by the ids of its cells; what is pooled now is put there.

    Raises:
        InputError: when the samples of a cell to be pooled are not there.
    """
    known = {} if known is None else known
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.status == "done":
            groups.setdefault(canonical_json([record.protocol, _without_seed(record.keys)]), []).append(record)
    pooled = []
    for group in groups.values():
        group.sort(key=_seed)
        key = _ids(group)
        together = [group] if key in known or _can_be_pooled(group, folder) else [[record] for record in group]
        for cells in together:
            if _ids(cells) not in known:
                known[_ids(cells)] = _pooled(cells, folder)
            pooled.append(known[_ids(cells)])
    return pooled


def _can_be_pooled(group: Sequence[Record], folder: Path) -> bool:
    """Not where a seed occurs twice: the cells differ in what their keys do not tell. Nor without a file's weights.

    Raises:
        InputError: see `pool`.
    """
    if len(group) == 1 or len({_seed(record) for record in group}) < len(group):
        return False
    from pyarrow import parquet

    for record in group:
        path = folder / record.cell / SAMPLES
        if not path.is_file():
            raise InputError(f"'{path}' is missing; without its samples cell {record.cell} can't be pooled over seeds")
        # Earlier versions did not write them.
        if not {"weight", "stratum"} <= set(parquet.read_schema(path).names):
            return False
    return True


def _ids(group: Sequence[Record]) -> tuple[str, ...]:
    return tuple(record.cell for record in group)


def _without_seed(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in keys.items() if name != "seed"}


def _seed(record: Record) -> int:
    return int(record.keys.get("seed", 0))


def _pooled(group: Sequence[Record], folder: Path) -> Pooled:
    names = [name for name in group[0].metrics if all(name in record.metrics for record in group)]
    by_seed = {name: [record.metrics[name] for record in group] for name in names}
    metrics = {name: found[0] for name, found in by_seed.items()}
    if len(group) > 1:
        compared = _compared(group, folder)
        metrics = {name: compared.get(name) or _mean(found) for name, found in by_seed.items()}
        metrics = {
            name: replace(metric, seeds=len(group), sd_over_seeds=_spread(by_seed[name]))
            for name, metric in metrics.items()
        }
    cells, seeds = tuple(record.cell for record in group), tuple(map(_seed, group))
    return Pooled(cells, seeds, _without_seed(group[0].keys), metrics)


def _mean(metrics: Sequence[Metric]) -> Metric:
    """Of a metric without samples, such as the probe's accuracy."""
    first, values = metrics[0], [metric.edited for metric in metrics if metric.edited is not None]
    mean = sum(values) / len(values) if len(values) == len(metrics) else None
    return Metric(first.name, first.half, edited=mean, n=first.n)


def _spread(metrics: Sequence[Metric]) -> float | None:
    import numpy as np

    found = (metric.edited if metric.delta is None else metric.delta for metric in metrics)
    values = [value for value in found if value is not None]
    return float(np.std(values, ddof=1)) if len(values) == len(metrics) else None


def _compared(group: Sequence[Record], folder: Path) -> dict[str, Metric]:
    """The metrics of the samples' scores averaged over cells."""
    base, edited = averaged([record.cell for record in group], folder)
    # Resampling is seeded like that of a cell with the default seed.
    return metrics_of(base, edited, seed=0)


def averaged(
    cells: Sequence[str], folder: Path, only: str | None = None
) -> "tuple[list[Measurement], list[Measurement]]":
    """What was measured on base and edited model, each sample's scores averaged over cells; without texts.

    Args:
        cells: ids of cells that were measured alike, one or those of a pool.
        folder: of the sweep.
        only: the measurements of this name; None for all.

    Raises:
        InputError: when samples are not there or can't be read.
    """
    import pandas as pd

    table = pd.concat([_scores(folder / cell) for cell in cells], ignore_index=True)
    table = table if only is None else table[table["measurement"] == only]
    base, edited = [], []
    for keys, rows in table.groupby(["measurement", "half"], sort=False):
        name, half = cast("tuple[str, Half]", keys)
        means = rows.groupby("sample", sort=False).agg(
            {"base_score": "mean", "edited_score": "mean", "weight": "first", "stratum": "first"}
        )
        base.append(measurement(name, half, means.reset_index(), "base_score"))
        edited.append(measurement(name, half, means.reset_index(), "edited_score"))
    return base, edited


def _scores(folder: Path) -> "pd.DataFrame":
    """A cell's scores; files of earlier versions had neither weights nor strata."""
    return read_samples(folder).reindex(columns=_COLUMNS)
