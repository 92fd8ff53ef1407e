"""What a person is told of a command's texts and probes beside the numbers."""

from collections.abc import Sequence

from surgery.errors import InputError
from sweeps.plan.plan import Plan
from sweeps.records.record import AT_CHANCE, Record, in_order


def texts_notes(plan: Plan) -> list[str]:
    """What was left out of each table of texts and why, and where a text contradicts its copy; a line each."""
    notes = []
    for experiment in plan.experiments:
        behavior, texts = experiment.cell.settings.behavior.name, experiment.texts
        if texts.left_out:
            notes.append(f"behavior {behavior}: {len(texts)} texts; left out: {texts.left_out}")
        if texts.contrary:
            notes.append(f"behavior {behavior}: {texts.repeated}; all of them are kept")
    return list(dict.fromkeys(notes))


def chance_notes(records: Sequence[Record]) -> list[str]:
    """Of each probe that can't be told from chance, which cells rest on it; a line each, whatever ended first."""
    cells: dict[str, list[str]] = {}
    for record in in_order(records):
        if record.status == "done" and (note := record.probe.get(AT_CHANCE)):
            cells.setdefault(str(note), []).append(record.cell)
    return [f"{note}: {_named(found)}" for note, found in cells.items()]


def require_above_chance(plan: Plan, kept: Sequence[Record]) -> None:
    """Raises InputError where `strict` was asked for, and a cell that is finished already would not have been run."""
    if plan.strict and (notes := chance_notes(kept)):
        raise InputError(f"strict=true refuses what is finished already in '{plan.sweep_folder}': {notes[0]}")


def _named(cells: Sequence[str]) -> str:
    more = f" and {len(cells) - 4} more" if len(cells) > 4 else ""
    return f"cell{'s' * (len(cells) > 1)} {', '.join(cells[:4])}{more}"
