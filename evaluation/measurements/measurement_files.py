"""Measurements as one parquet file: a row a sample, what is said once in the schema."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.measurements.measurement import Measurement
from surgery.errors import InputError
from surgery.files.whole_files import written_whole

if TYPE_CHECKING:
    import pyarrow

_KEY = b"evaluation.measurements/1"
_OPTIONAL = {
    **{"weight": "weights", "stratum": "strata", "input": "inputs", "rendered": "rendered", "output": "outputs"},
    "scored": "scored",
}


def to_table(measurements: Sequence[Measurement]) -> "pyarrow.Table":
    """One row for each sample of each measurement; names, statistics and notes are in the schema's metadata."""
    import pyarrow as pa

    columns: dict[str, list[Any]] = {name: [] for name in ("measurement", "sample_id", "score", *_OPTIONAL)}
    said_once = []
    for index, measurement in enumerate(measurements):
        columns["measurement"] += [index] * measurement.n
        columns["sample_id"] += measurement.sample_ids
        columns["score"] += measurement.scores.tolist()
        present = []
        for column, field in _OPTIONAL.items():
            values = getattr(measurement, field)
            columns[column] += [None] * measurement.n if values is None else list(values)
            if values is not None:
                present.append(field)
        said_once.append(
            {
                "name": measurement.name,
                "half": measurement.half,
                "statistic": measurement.statistic,
                "notes": dict(measurement.notes),
                "present": present,
            }
        )
    types = {"measurement": pa.int32(), "score": pa.float64(), "weight": pa.float64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in columns])
    return pa.table(columns, schema=schema.with_metadata({_KEY: json.dumps(said_once).encode()}))


def from_table(table: "pyarrow.Table") -> list[Measurement]:
    """The measurements `to_table` was given, in their order and without loss.

    Raises:
        InputError: for a table that holds no measurements.
    """
    metadata = table.schema.metadata or {}
    if _KEY not in metadata:
        raise InputError("this table holds no measurements; give a file that save_measurements wrote")
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    numbers, measurements, start = np.array(columns["measurement"]), [], 0
    for index, said_once in enumerate(json.loads(metadata[_KEY])):
        rows = slice(start, start + int((numbers == index).sum()))
        present = said_once.pop("present")
        optional = {field: columns[name][rows] for name, field in _OPTIONAL.items() if field in present}
        measurements.append(
            Measurement(sample_ids=columns["sample_id"][rows], scores=columns["score"][rows], **optional, **said_once)
        )
        start = rows.stop
    return measurements


def save_measurements(measurements: Sequence[Measurement], path: str | Path) -> None:
    """Writes one parquet file, whole or not at all."""
    from pyarrow import parquet

    with written_whole(path) as temporary:
        parquet.write_table(to_table(measurements), temporary, compression="zstd")


def load_measurements(path: str | Path) -> list[Measurement]:
    """Reads what `save_measurements` wrote.

    Raises:
        InputError: when the file is missing, can't be read, or holds no measurements.
    """
    import pyarrow as pa
    from pyarrow import parquet

    if not Path(path).is_file():
        raise InputError(f"measurements '{path}' are not there; give a file that save_measurements wrote")
    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"measurements '{path}' can't be read as parquet: {error}") from None
    return from_table(table)
