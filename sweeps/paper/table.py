"""A table of the paper, and the cells of a sweep that are its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from surgery.errors import InputError
from sweeps.records.metric import Metric, Metrics
from sweeps.records.record import Record
from sweeps.records.sweep import Sweep, config_of, flat
from sweeps.results.best_cell import choose
from sweeps.results.protocols import measured_alike

BASE = "base"
# The paper's alpha for detoxification (Table 14), which a behavior's own stands for.
OWN_ALPHA = 1.08


@dataclass(frozen=True)
class Column:
    """A column: the paper's name, our metric (a pattern), and whether the paper gives percent."""

    name: str
    metric: str
    percent: bool

    def of(self, metrics: Metrics) -> Metric | None:
        """The one metric that stands in it; None where none was measured."""
        # Beside a row of the paper's benchmarks, `lm_eval/mmlu`, stand the metrics of its tasks.
        if (row := metrics.get(self.metric.removesuffix("*"))) is not None:
            return row
        found = [one for one in metrics.values() if one.half == "report" and fnmatch(one.name, self.metric)]
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True)
class PaperRow:
    """A row.

    Attributes:
        name: as in the paper.
        values: the paper's figures by column.
        where: what a cell's config holds, alternatives in order; nothing where the row is quoted.
        base_of: the row whose cell's unedited model this is; empty for an edited model.
    """

    name: str
    values: Sequence[float | None]
    where: Sequence[Mapping[str, Any]] = ()
    base_of: str = ""

    @property
    def is_base(self) -> bool:
        """Whether it is an unedited model."""
        return self.name == BASE or bool(self.base_of)


@dataclass(frozen=True)
class Claim:
    """That each of `lower` measures lower than each of `than` in a metric, or, with `within`, by less than that apart.

    Attributes:
        lower, than: rows by name; a number stands for itself.
    """

    says: str
    metric: str
    lower: Sequence[str | float]
    than: Sequence[str | float]
    within: float | None = None


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper.

    Attributes:
        continuations: the metric whose continuations of one prompt are shown beside the numbers; empty for none.
    """

    name: str
    title: str
    run: str
    columns: tuple[Column, ...]
    rows: tuple[PaperRow, ...]
    claims: tuple[Claim, ...]
    continuations: str = ""

    @classmethod
    def load(cls, name: str) -> "PaperTable":
        """Raises InputError for a table that is not among the data."""
        if name not in (known := table_names()):
            raise InputError(f"there is no '{name}'; there are {', '.join(known)}")
        values = _data(name)
        columns = values["columns"]
        if isinstance(columns, str):
            columns = _data("columns")[columns]
        nothing = [None] * len(columns)
        return cls(
            name,
            values["title"],
            values["run"],
            tuple(Column(**column) for column in columns),
            tuple(PaperRow(**{"values": nothing, **row}) for row in values["rows"]),
            tuple(Claim(**claim) for claim in values["claims"]),
            values.get("continuations", ""),
        )

    def record(self, row: PaperRow, rows: Mapping[str, Record]) -> Record | None:
        """The cell of ours that a row's numbers are taken from; None where it was not run."""
        if row.base_of:
            return rows.get(row.base_of)
        return next(iter(rows.values()), None) if row.name == BASE else rows.get(row.name)


def table_names() -> list[str]:
    """The tables there are data of, by their numbers."""
    found = [path.name.removesuffix(".yaml") for path in files("sweeps.paper").joinpath("tables").iterdir()]
    return sorted((name for name in found if name.startswith("table")), key=lambda name: int(name[5:]))


def _data(name: str) -> Any:
    return yaml.safe_load(files("sweeps.paper").joinpath("tables", f"{name}.yaml").read_text(encoding="utf-8"))


def rows_of(table: PaperTable, folder: Path, done: Sequence[Record]) -> dict[str, Record]:
    """The cells of a sweep that are rows of a table, by the row's name; rows that were not run are absent.

    Args:
        table: of the paper.
        folder: of the sweep.
        done: its finished cells.

    Raises:
        InputError: when several cells are the same row and no rule chooses one, or the cells were not measured alike.
    """
    measured_alike(done, folder)
    configs = {record.cell: settings_of(folder / record.cell) for record in done}
    found = {}
    for row in table.rows:
        for where in row.where:
            cells = [record for record in done if all(configs[record.cell].get(k) == v for k, v in where.items())]
            if cells:
                found[row.name] = one_of(cells, folder, f"the row '{row.name}' of {table.name}")
                break
    return found


def one_of(cells: list[Record], folder: Path, what: str) -> Record:
    """The cell, or of several the one that the sweep's own rule chooses on the selection half.

    Raises:
        InputError: when the rule chooses none; `what` says what they all are.
    """
    if len(cells) == 1:
        return cells[0]
    choice = Sweep(folder).rule(cells)
    found = choose(cells, choice, folder) if choice else None
    if found is None or found.best is None:
        names = ", ".join(record.cell for record in cells)
        why = f": {found.why}" if found else ""
        raise InputError(f"{len(cells)} cells are {what}, and the sweep's rule chooses none of {names}{why}")
    return next(record for record in cells if record.cell == found.best.cell)


def settings_of(folder: Path) -> dict[str, Any]:
    """A cell's config, flat; and its alpha in the paper's terms, as a share of the behavior's own."""
    found = flat(config_of(folder))
    own = found.get("behavior.preset.alpha") or OWN_ALPHA
    if "alpha" in found:
        found["paper_alpha"] = round(found["alpha"] * OWN_ALPHA / own, 4)
    return found
