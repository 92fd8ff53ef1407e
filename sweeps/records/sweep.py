"""Sweeps and cells by the names a person gives, and the options that the `sweeps` commands share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from surgery.errors import InputError
from sweeps.records.choice import Choice
from sweeps.records.record import CONFIG, Record, load_records, sweep_folders

Output = Annotated[
    Path,
    typer.Option(
        "--output-dir", "-o", help="the folder that `surgery` wrote to", callback=lambda path: path.expanduser()
    ),
]
Name = Annotated[str, typer.Argument(help="the sweep, as `sweeps list` names it")]
Cell = Annotated[str, typer.Argument(help="the cell's id, or its first characters")]

Protocol = Annotated[
    str, typer.Option("--protocol", help="only the cells measured in this way: the hash in their records, or its start")
]


def sweep_folder(name: str, output_dir: Path) -> Path:
    runs = output_dir / "runs"
    there = [folder.name for folder in sweep_folders(runs)]
    if name not in there:
        known = f"there are {', '.join(there)}" if there else f"there are none in '{output_dir}' (--output-dir?)"
        raise InputError(f"no sweep is called '{name}'; {known}")
    return runs / name


def finished_records(name: str, output_dir: Path) -> list[Record]:
    records = load_records(sweep_folder(name, output_dir))
    if not records:
        raise InputError(f"sweep '{name}' has no finished cell yet")
    return records


def one_cell(start: str, records: list[Record]) -> Record:
    found = [record for record in records if record.cell.startswith(start)]
    if len(found) != 1:
        known = ", ".join(record.cell for record in found or records)
        raise InputError(f"'{start}' names {len(found)} cells; there are {known}")
    return found[0]


def shared_choice(folder: Path, done: list[Record]) -> Choice | None:
    """The rule the sweep was run with; none when its cells disagree."""
    written = [config_of(folder / record.cell).get("evaluation", {}).get("choose") for record in done]
    rules = {Choice.parse(rule) if rule else None for rule in written}
    return rules.pop() if len(rules) == 1 else None


def config_of(folder: Path) -> dict[str, Any]:
    """The config that a cell was run with, from its folder; empty where none lies there."""
    path = folder / CONFIG
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config by keys as a person would type them, `evaluation.limit` say."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
