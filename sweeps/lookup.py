"""Sweeps and cells by the names a person gives, and the options that the `sweeps` commands share."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from surgery.errors import InputError
from sweeps.choice import Choice
from sweeps.records import CONFIG, Record, load_records

Output = Annotated[Path, typer.Option("--output-dir", "-o", help="the folder that `surgery` wrote to")]
Name = Annotated[str, typer.Argument(help="the sweep, as `sweeps list` names it")]
Cell = Annotated[str, typer.Argument(help="the cell's id, or its first characters")]


def sweep_folder(name: str, output_dir: Path) -> Path:
    runs = output_dir / "runs"
    there = sorted(folder.name for folder in runs.glob("*/")) if runs.is_dir() else []
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
    rules = []
    for record in done:
        path = folder / record.cell / CONFIG
        config = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
        rules.append(config.get("evaluation", {}).get("choose"))
    return Choice.parse(rules[0]) if rules and rules[0] and all(rule == rules[0] for rule in rules) else None
