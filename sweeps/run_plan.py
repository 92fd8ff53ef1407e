"""Runs the cells of a plan, one after another in this process; what is finished stays finished."""

import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from surgery.errors import InputError
from surgery.files import written_whole
from sweeps.guarded_tracking import GuardedTracking
from sweeps.plan import Experiment, Plan
from sweeps.progress import Progress
from sweeps.records import Record, load_records, write_table
from sweeps.store import Store
from sweeps.summary import show
from sweeps.tables import console
from sweeps.tracking import Tracker, make_tracker

if TYPE_CHECKING:
    from sweeps.session import Session

OUTPUTS_README = """\
What the commands leave here:

store/<stage>/<key>/          hidden states, probes and base measurements, by content; safe to delete, it is made again
runs/<sweep>/results.csv      one row a finished cell
runs/<sweep>/<cell>/          config.yaml, result.json, samples.parquet (base beside edited), edit.safetensors
wandb/                        Weights & Biases runs, where tracking is on

`sweeps list` shows what there is.
"""


@dataclass(frozen=True)
class Outcome:
    """How a command ended: all records of its cells, and the ids of those that failed."""

    records: tuple[Record, ...]
    failed: tuple[str, ...]


def run_plan(plan: Plan) -> Outcome:
    """Runs every cell that has no record yet and prints what came out.

    A cell that fails is recorded and shown at once, and the others go on (`fail_fast` stops). An interrupt drops the
    cell in flight; all that ended before is kept.
    """
    progress_console = console(stderr=True)
    folder = plan.sweep_folder
    folder.mkdir(parents=True, exist_ok=True)
    _write_outputs_readme(plan.output_dir)
    earlier = {record.cell: record for record in load_records(folder)}
    asked = {experiment.cell.id for experiment in plan.experiments}
    kept = {
        cell: record
        for cell, record in earlier.items()
        if cell in asked and (record.status == "done" or not plan.retry_failed)
    }
    waiting = [experiment for experiment in plan.experiments if experiment.cell.id not in kept]
    _say_what_is_kept(kept, plan, progress_console)
    records = dict(earlier)
    if waiting:
        tracker = make_tracker(plan)
        progress = Progress(progress_console, len(plan.experiments), len(kept))
        for record in _run(waiting, plan, tracker, progress, progress_console):
            records[record.cell] = record
            write_table(folder, records.values())
            if record.status == "failed" and plan.fail_fast:
                break
    write_table(folder, records.values())
    ours = tuple(records[e.cell.id] for e in plan.experiments if e.cell.id in records)
    show(ours, plan.choice, folder, console())
    return Outcome(ours, tuple(record.cell for record in ours if record.status == "failed"))


def _say_what_is_kept(kept: dict[str, Record], plan: Plan, to: Console) -> None:
    if not kept:
        return
    failed = [record for record in kept.values() if record.status == "failed"]
    to.print(f"{len(kept)} of {len(plan.experiments)} cells are finished already, in {plan.sweep_folder}")
    for record in failed:
        to.print(f"  {record.cell} failed: {escape(str(record.error))} (retry_failed=true runs it again)")


def _by_shared_work(experiments: Iterable[Experiment]) -> list[Experiment]:
    """Cells that share a model, then texts, then a layer stand together, in the order they were asked for."""
    groups: dict[tuple[object, ...], list[Experiment]] = {}
    for experiment in experiments:
        cell = experiment.cell
        model = (cell.model_fingerprint, cell.settings.model.dtype, str(cell.settings.model.device))
        groups.setdefault((model, cell.texts_fingerprint, cell.layer), []).append(experiment)
    order: dict[object, int] = {}
    for group in groups:
        order.setdefault(group[0], len(order))
    return [experiment for group in sorted(groups, key=lambda group: order[group[0]]) for experiment in groups[group]]


def _run(waiting: list[Experiment], plan: Plan, tracker: Tracker, progress: Progress, to: Console) -> Iterable[Record]:
    from sweeps.session import Session

    for evaluator in {id(e): e for experiment in waiting for e in experiment.evaluators.values()}.values():
        evaluator.prepare()
    session = Session(Store(plan.store_folder), plan.experiments, progress=to.is_terminal)
    for experiment in _by_shared_work(waiting):
        with progress.cell(plan.label(experiment)):
            record = _one(session, experiment, plan, tracker, progress, to)
        progress.ended(record)
        yield record


def _one(
    session: "Session", experiment: Experiment, plan: Plan, tracker: Tracker, progress: Progress, to: Console
) -> Record:
    from sweeps.run_cell import run_cell

    folder = plan.sweep_folder / experiment.cell.id
    following = GuardedTracking(tracker, experiment, to)

    def on_stage(name: str, seconds: float) -> None:
        progress.stage(name, seconds)
        following.stage(name, seconds)

    probe = None
    try:
        record = run_cell(session, experiment, folder, on_stage)
        probe = session.direction_probe(experiment)
    except KeyboardInterrupt:
        following.close()
        raise
    except Exception as error:  # whatever it is, it belongs to this cell: it is recorded, shown, and counted
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        record = Record(
            experiment.cell.id,
            "failed",
            error=reason.splitlines()[0],
            command=experiment.command,
            keys=experiment.cell.keys(),
        )
        with written_whole(folder / "traceback.txt") as temporary:
            temporary.write_text(traceback.format_exc(), encoding="utf-8")
    record.save(folder)
    following.finish(record, folder, probe)
    return record


def _write_outputs_readme(output_dir: Path) -> None:
    if not (output_dir / "README.md").exists():
        with written_whole(output_dir / "README.md") as temporary:
            temporary.write_text(OUTPUTS_README, encoding="utf-8")
