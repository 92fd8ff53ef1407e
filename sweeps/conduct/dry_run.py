"""What a command would do and cost."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from surgery.errors import InputError
from sweeps.cell.canonical_json import canonical_json
from sweeps.cell.method import METHODS, NUMBERS
from sweeps.plan.experiment import Experiment
from sweeps.plan.model_reading import ModelReading
from sweeps.plan.plan import Plan
from sweeps.plan.text_notes import texts_notes
from sweeps.records.machine import machine
from sweeps.records.record import RESULT, Record, cell_folders, sound_records, sweep_folders
from sweeps.run.stage_identities import stage_identities
from sweeps.store.store import Store
from sweeps.suggest.planned_step import PlannedSteps
from sweeps.terminal.cell_tables import console
from sweeps.terminal.printed_table import print_table
from sweeps.terminal.progress import OWN_STAGES, duration


def show_plan(plan: Plan, models: ModelReading, following: int = 0) -> None:
    """Prints the cells, how large a step each is, the stages to make or reuse, and the estimated time.

    Args:
        plan: of a command.
        models: what the models of its cells tell of themselves.
        following: how many more cells follow these, see `sweeps.config.followed_cells`.
    """
    to = console()
    kept, damaged = sound_records(plan.sweep_folder)
    for what in damaged:
        to.print(f"{what}; its cell counts as not run", markup=False, soft_wrap=True)
    named, steps = plan.swept, PlannedSteps(plan.experiments, models, Store(plan.store_folder))
    table = Table(title=f"cells of sweep {plan.sweep}: {len(plan.experiments)}", title_justify="left")
    for column in ("cell", *named, *(["step"] if steps else []), "would"):
        table.add_column(column)
    waiting = plan.waiting(kept)
    for experiment in plan.experiments:
        keys = experiment.cell.keys()
        cell = experiment.cell.id
        would = "run" if cell in waiting else f"be kept: {kept[cell].status}"
        table.add_row(cell, *(str(keys.get(name, "-")) for name in named), *steps.told(experiment), would)
    print_table(table, to)
    for note in steps.notes():
        to.print(note, markup=False, soft_wrap=True)
    for note in texts_notes(plan):
        to.print(note, markup=False, soft_wrap=True)
    to_make = _show_stages(plan)
    for said in plan.notes:
        to.print(said, markup=False)
    if following:
        to.print(
            f"{following} more follow these: what they start from, and so their names, is known once these have run"
        )
    # What follows is alike in all but what it starts from, so it is reckoned as these are.
    counted = [*map(plan.experiment, waiting), *plan.experiments[:1] * following]
    told = estimate(counted, plan.output_dir, to_make)
    to.print(f"cells that would run: {len(counted)}; {told + '; ' if told else ''}nothing was run", soft_wrap=True)


def _show_stages(plan: Plan) -> dict[str, int]:
    """Prints what is there of each stage that cells share, and says how many of each are to be made."""
    to, store = console(), Store(plan.store_folder)
    stages: dict[str, dict[str, bool]] = {}
    for experiment in plan.experiments:
        for stage, identity in stage_identities(experiment):
            stages.setdefault(stage, {})[str(store.path(stage, identity))] = store.has(stage, identity)
    for stage, entries in stages.items():
        there = sum(entries.values())
        to.print(f"{stage}: {len(entries) - there} to make, {there} to reuse")
    return {stage: len(entries) - sum(entries.values()) for stage, entries in stages.items()}


def estimate(waiting: Sequence[Experiment], output_dir: Path, to_make: Mapping[str, int]) -> str:
    """How long cells would take, as far as earlier cells tell, and what is not in that; empty where none waits.

    Only cells count that did the same work: measured the same things (prompts, texts, tasks and limits are all of the
    protocol) of the same model by the same method, on a machine and a device like these.

    Args:
        waiting: the cells that would run.
        output_dir: whose earlier cells are asked.
        to_make: how many entries of each shared stage are to be made.
    """
    if not waiting:
        return ""
    earlier: dict[str, dict[str, float]] = {}
    for record in _done_earlier(output_dir):
        # A cell may stand in several sweeps, and only where it ran first was it measured.
        of_cell = earlier.setdefault(_work(record.keys, record.protocol, record.machine), {})
        of_cell[record.cell] = max(_own_seconds(record), of_cell.get(record.cell, 0.0))
    works = [_work_of(experiment) for experiment in waiting]
    typical = {work: median(earlier[work].values()) for work in set(works) if work in earlier}
    known = [typical[work] for work in works if work in typical]
    unknown = len(works) - len(known)
    nobody = "no cell of the same model, method and measurements has been run on such a machine"
    if not known:
        return f"how long that takes is known after the first cell ({nobody})"
    cells = sum(len(earlier[work]) for work in typical)
    one = duration(median(known))
    told = (
        f"about {duration(sum(known))}, at {one} a cell as in {cells} earlier {'cell' if cells == 1 else 'cells'} here"
    )
    beside = [f"{count} {stage} to make" for stage, count in to_make.items() if count]
    beside += [f"{unknown} of the cells ({nobody})"] if unknown else []
    return f"{told}; not in it: {', '.join(['loading the model', *beside])}"


def _done_earlier(output_dir: Path) -> Iterator[Record]:
    """The cells of all sweeps that are done; one whose record is damaged tells no time, and hinders no plan."""
    for folder in (cell for sweep in sweep_folders(output_dir / "runs") for cell in cell_folders(sweep)):
        with suppress(InputError):
            if (folder / RESULT).is_file() and (record := Record.load(folder)).status == "done":
                yield record


def _own_seconds(record: Record) -> float:
    return sum(record.seconds.get(stage, 0.0) for stage in OWN_STAGES)


def _work_of(experiment: Experiment) -> str:
    import torch

    device = experiment.cell.settings.model.device
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    here = machine("cpu" if on_cpu else "cuda")
    cell = experiment.cell
    elsewhere = {"device": cell.engine_told} if cell.settings.engine.served else {}
    return _work(cell.keys(), cell.protocol, here | elsewhere)


def _work(keys: Mapping[str, Any], protocol: str, machine: Mapping[str, Any]) -> str:
    """What the time of a cell hangs on, to be equal where it is much the same."""
    training = {f"method.{name}" for name in NUMBERS}
    names: Collection[str] = [name for name in keys if name in ("model", "model.dtype", "method", *training)]
    if (method := METHODS.get(str(keys.get("method")))) and method.numbers:
        names = [*names, "behavior", "behavior.limit", "behavior.max_length"]
    place = [machine.get(name) for name in ("processor", "cores", "device")]
    return canonical_json([protocol, {name: keys.get(name) for name in names}, place])
