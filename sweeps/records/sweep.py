"""A sweep: a folder of records, by the name that a person gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import yaml

from surgery.errors import InputError
from sweeps.records.choice import Choice
from sweeps.records.record import CONFIG, Record, load_records, sweep_folders


@dataclass(frozen=True)
class Sweep:
    """outputs/runs/<name>/ and the records in it, each read once.

    Attributes:
        folder: of the sweep.
    """

    folder: Path

    @classmethod
    def named(cls, name: str, output_dir: Path) -> Self:
        """Raises InputError when there is no sweep of that name."""
        runs = output_dir / "runs"
        there = [folder.name for folder in sweep_folders(runs)]
        if name not in there:
            known = f"there are {', '.join(there)}" if there else f"there are none in '{output_dir}' (--output-dir?)"
            raise InputError(f"no sweep is called '{name}'; {known}")
        return cls(runs / name)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.folder.name

    @cached_property
    def records(self) -> list[Record]:
        """Of all cells that have ended, however they did."""
        return load_records(self.folder)

    def finished(self) -> list[Record]:
        """All records; raises InputError when there is none."""
        if not self.records:
            raise InputError(f"sweep '{self.name}' has no finished cell yet")
        return self.records

    def done(self) -> list[Record]:
        """The records of the cells that were measured whole; raises InputError when no cell has ended at all."""
        return [record for record in self.finished() if record.status == "done"]

    def some_done(self) -> list[Record]:
        """Those that are done; raises InputError when none is."""
        if not (done := self.done()):
            raise self.none_done()
        return done

    def none_done(self) -> InputError:
        """What to say where nothing was measured whole."""
        return InputError(f"sweep '{self.name}' has no cell that is done; `sweeps status {self.name}` says why")

    def rule(self, cells: Sequence[Record]) -> Choice | None:
        """The rule that cells were run with, which the best of them is chosen by; none when they disagree."""
        written = [config_of(self.folder / record.cell).get("evaluation", {}).get("choose") for record in cells]
        rules = set(map(Choice.of, written))
        return rules.pop() if len(rules) == 1 else None


def one_id(start: str, cells: Sequence[str]) -> str:
    """The id of a cell that begins so; raises InputError when there is none, or several."""
    found = [start] if start in cells else [cell for cell in cells if cell.startswith(start)]
    if len(found) != 1:
        raise InputError(f"'{start}' names {len(found)} cells; there are {', '.join(found or cells)}")
    return found[0]


def config_of(folder: Path) -> dict[str, Any]:
    """The config that a cell was run with, from its folder; empty where none lies there."""
    path = folder / CONFIG
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def require_config(folder: Path) -> Mapping[str, Any]:
    """The config that a cell was run with; raises InputError when its file is not there or holds none."""
    try:
        values = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"'{folder / CONFIG}' can't be read: {error}") from None
    if not isinstance(values, Mapping):
        raise InputError(f"'{folder / CONFIG}' holds no config")
    return values


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config by keys as a person would type them, `evaluation.limit` say."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
