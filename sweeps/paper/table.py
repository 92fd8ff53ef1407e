"""A table of the paper, and the cells of a sweep that are its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from surgery.errors import InputError
from sweeps.lookup import shared_choice
from sweeps.records import CONFIG, Record

BASE = "base"


@dataclass(frozen=True)
class Column:
    """A column: the paper's name, our metric (a pattern), and whether the paper gives percent."""

    name: str
    metric: str
    percent: bool

    def of(self, metrics: Mapping[str, Any]) -> str | None:
        """The name of the one metric that stands in it; None where none was measured."""
        found = [name for name in metrics if fnmatch(name, self.metric) and not name.startswith("selection/")]
        return found[0] if len(found) == 1 or self.metric in found else None


@dataclass(frozen=True)
class PaperRow:
    """A row: its name, the paper's figures by column, and what a cell's config holds; nothing where it is quoted."""

    name: str
    values: Sequence[float | None]
    where: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Claim:
    """That each of `lower` measures lower than each of `than` in a metric."""

    says: str
    metric: str
    lower: Sequence[str]
    than: Sequence[str]


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper."""

    name: str
    title: str
    run: str
    columns: tuple[Column, ...]
    rows: tuple[PaperRow, ...]
    claims: tuple[Claim, ...]

    @classmethod
    def load(cls, name: str) -> "PaperTable":
        """Raises InputError for a table that is not among the data."""
        known = yaml.safe_load(files("sweeps.paper").joinpath("tables.yaml").read_text(encoding="utf-8"))
        if name not in known:
            raise InputError(f"there is no '{name}'; there are {', '.join(known)}")
        values = known[name]
        return cls(
            name,
            values["title"],
            values["run"],
            tuple(Column(**column) for column in values["columns"]),
            tuple(PaperRow(**row) for row in values["rows"]),
            tuple(Claim(**claim) for claim in values["claims"]),
        )


def rows_of(table: PaperTable, folder: Path, done: Sequence[Record]) -> dict[str, Record]:
    """The cells of a sweep that are rows of a table, by the row's name; rows that were not run are absent.

    Args:
        table: of the paper.
        folder: of the sweep.
        done: its finished cells.

    Raises:
        InputError: when several cells are the same row and no rule chooses one, or the cells were not measured alike.
    """
    if len({record.protocol for record in done}) > 1:
        raise InputError("the cells of this sweep were not all measured the same way; one table can't hold them")
    configs = {record.cell: _flat(_config(folder / record.cell)) for record in done}
    found = {}
    for row in table.rows:
        for where in row.where:
            cells = [record for record in done if all(configs[record.cell].get(k) == v for k, v in where.items())]
            if cells:
                found[row.name] = _one(cells, folder, f"the row '{row.name}' of {table.name}")
                break
    return found


def _one(cells: list[Record], folder: Path, row: str) -> Record:
    """The cell, or of several the one that the sweep's own rule chooses on the selection half."""
    from sweeps.pooling import pool
    from sweeps.summary import chosen

    if len(cells) == 1:
        return cells[0]
    choice = shared_choice(folder, cells)
    best = chosen(pool(cells, folder), choice) if choice else None
    if best is None:
        names = ", ".join(record.cell for record in cells)
        raise InputError(f"{len(cells)} cells are {row}, and the sweep's rule chooses none: {names}")
    return next(record for record in cells if record.cell == best.cell)


def _config(folder: Path) -> Mapping[str, Any]:
    path = folder / CONFIG
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
