"""The record of a cell, and the table of a sweep: outputs/runs/<sweep>/."""

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from surgery.errors import InputError
from surgery.files.whole_files import clear_leftovers, sha256_of_file, written_whole
from sweeps.cell.cell import VERSION
from sweeps.records.metric import Metric, Metrics

RESULT, CONFIG, SAMPLES, EDIT = "result.json", "config.yaml", "samples.parquet", "edit.safetensors"
# What was applied before the cell's own edit, numbered from 1, oldest first.
EARLIER = "earlier-{}.safetensors"
TABLE = "results.csv"
CHECKSUM = "sha256"
LOCKS = ".locks"
# See `Cell.id`.
CELL_ID = re.compile("[0-9a-f]{12}")
# In `probe`: why its test accuracy can't be told from chance, one sentence; None where it can.
AT_CHANCE = "at_chance"
# In `edit` of method=surgery: how large a step alpha is, see `surgery.edits.edit.Edit.relative_step`.
STEP = "step"
Status = Literal["done", "failed", "pruned"]

# What can change a number, so that a record says what made it.
PACKAGES = ("llm-surgery", "torch", "transformers", "lm_eval", "detoxify", "datasets", "numpy", "scikit-learn", "scipy")


def versions() -> dict[str, str]:
    """The versions of what a result depends on."""
    return {package: _version(package) for package in PACKAGES}


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@dataclass(frozen=True)
class Record:
    """What is kept of one cell, as in result.json.

    Attributes:
        cell: its id.
        status: `done`, `failed`, or `pruned`.
        error: why it failed, one sentence.
        command: what makes the cell again, from the folder that its paths are relative to.
        protocol: the hash of what was measured and how.
        keys: the composed keys, flat.
        metrics: by what a record calls them, see `sweeps.records.metric`.
        identity: by which rules the cell's id was made, `sweeps.cell.cell.VERSION`; 1 in records that do not say.
        model: the parts of what the model is, by name, see `surgery.model.model_identity`.
        probe, edit: metrics of the probe, and what it was made of; receipt of the edit. Of a cell that `strict`
            refused, `probe` says why.
        seconds: {stage: seconds}.
        batches: {kind of work: [{"tokens_per_batch", "halvings"}]}: the batches it was done in, each way once; Detoxify
            counts `texts_per_batch`. The shape of a batch can change the last bits of a result.
        versions: of the packages.
        machine: what it ran on.
        store: the entries of the store that it was made from, `stage/key`.
        files: the SHA-256 of each file beside it.
    """

    cell: str
    status: Status
    error: str | None = None
    command: str = ""
    protocol: str = ""
    identity: int = 1
    model: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, Any] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=dict)
    probe: Mapping[str, Any] = field(default_factory=dict)
    edit: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    batches: Mapping[str, Sequence[Mapping[str, int]]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=versions)
    machine: Mapping[str, str | int] = field(default_factory=dict)
    store: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if wrong := [name for name, metric in self.metrics.items() if metric.key != name]:
            raise ValueError(f"the metric {self.metrics[wrong[0]].key} is filed under {wrong[0]}")

    def save(self, folder: Path) -> None:
        """Writes result.json with its own SHA-256 in it, whole or not at all."""
        metrics = {name: metric.to_json() for name, metric in self.metrics.items()}
        values = _without_nan(asdict(replace(self, metrics={})) | {"metrics": metrics})
        text = json.dumps(values | {CHECKSUM: _checksum(values)}, indent=1, allow_nan=False)
        with written_whole(folder / RESULT) as temporary:
            temporary.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Record":
        """Raises InputError when the file can't be read, or is not what was written."""
        try:
            values = json.loads((folder / RESULT).read_text(encoding="utf-8"))
            # A record may come from elsewhere, without one; then there is nothing to hold it against.
            if (written := values.pop(CHECKSUM, None)) is not None and written != _checksum(values):
                raise ValueError("its content is not what was written")
            metrics = {name: Metric.from_json(name, metric) for name, metric in values.pop("metrics", {}).items()}
            return cls(**values, metrics=metrics)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InputError(f"'{folder / RESULT}' can't be read as a record: {error}") from None

    @property
    def step(self) -> float | None:
        """‖alpha·direction‖ over the median norm of the edited rows; None for other methods and earlier records."""
        return self.edit.get(STEP)

    @property
    def older_identity(self) -> str | None:
        """A sentence for a cell whose id was made by the rules of an earlier version; None for the others."""
        if self.identity >= VERSION:
            return None
        return (
            "it is of an older identity, which knew the model by a sample of its weights and not by its config and "
            "tokenizer; run it again to be sure of its numbers"
        )

    def require_this_identity(self) -> None:
        """Raises InputError for a cell of an older identity, which can't be held against a model any more."""
        if (older := self.older_identity) is not None:
            again = f": {self.command}" if self.command else ""
            raise InputError(f"cell {self.cell} can't be held against its model: {older}{again}")

    def damaged_file(self, folder: Path) -> str | None:
        """The name of a file beside the record that is missing or not what was written; None when all are sound."""
        for name, expected in self.files.items():
            if not (folder / name).is_file() or sha256_of_file(folder / name) != expected:
                return name
        return None


def _checksum(values: Mapping[str, Any]) -> str:
    return sha256(json.dumps(values, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def sweep_folders(runs: Path) -> list[Path]:
    """The folders of sweeps, by name: what holds a cell, or the locks of one that is run for the first time."""
    there = sorted(folder for folder in runs.glob("*/") if not folder.name.startswith("."))
    return [folder for folder in there if (folder / LOCKS).is_dir() or cell_folders(folder)]


def cell_folders(sweep_folder: Path) -> list[Path]:
    """The folders of a sweep's cells, by id, also of those that run or were cut off; figures and the like are none."""
    there = sorted(folder for folder in sweep_folder.glob("*/") if not folder.name.startswith("."))
    return [folder for folder in there if (folder / RESULT).is_file() or CELL_ID.fullmatch(folder.name)]


def load_records(sweep_folder: Path) -> list[Record]:
    """The records of a sweep, by id; cells that were cut off have none.

    Raises:
        InputError: for a damaged record.
    """
    return [Record.load(folder) for folder in cell_folders(sweep_folder) if (folder / RESULT).is_file()]


def sound_records(sweep_folder: Path) -> tuple[dict[str, Record], list[str]]:
    """The records of a sweep by id whose files are all what was written; and for each other, what is wrong with it."""
    records, damaged = {}, []
    for folder in cell_folders(sweep_folder):
        if not (folder / RESULT).is_file():
            continue
        try:
            record = Record.load(folder)
        except InputError as error:
            damaged.append(str(error))
            continue
        if name := record.damaged_file(folder):
            damaged.append(f"'{folder / name}' is damaged: it is not what was written")
        else:
            records[record.cell] = record
    return records, damaged


def in_order(records: Iterable[Record]) -> list[Record]:
    """Sorted by what was composed, so that a table reads the same whichever cell ended first."""
    return sorted(records, key=lambda record: [(str(type(v)), v) for v in record.keys.values()] + [("", record.cell)])


def result_rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """One row a finished cell, in the order of results.csv: its id, every key, every metric with base, delta,
    interval and n, and the seconds of each stage."""
    rows = []
    for record in in_order(record for record in records if record.status == "done"):
        row: dict[str, Any] = {"cell": record.cell, "protocol": record.protocol, **record.keys}
        for metric in record.metrics.values():
            row |= metric.columns()
        rows.append(row | {f"seconds/{stage}": round(seconds, 3) for stage, seconds in record.seconds.items()})
    return rows


def result_columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns of all rows, as they first appear, seconds last."""
    return sorted(dict.fromkeys(name for row in rows for name in row), key=lambda name: name.startswith("seconds"))


def table_text(records: Iterable[Record]) -> str:
    """What results.csv holds for these records."""
    rows = result_rows(records)
    text = StringIO(newline="")
    writer = csv.DictWriter(text, result_columns(rows), restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_table(sweep_folder: Path, records: Iterable[Record]) -> None:
    """Writes results.csv."""
    text = table_text(records)
    with FileLock(lock_file(sweep_folder, TABLE)):
        clear_leftovers(sweep_folder)
        with written_whole(sweep_folder / TABLE) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")


def lock_file(sweep_folder: Path, name: str) -> Path:
    """The file whose lock says that a process is at a cell, or at the table, of a sweep."""
    folder = sweep_folder / LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
