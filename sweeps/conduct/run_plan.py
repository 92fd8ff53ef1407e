"""Runs the cells of a plan; what is finished stays finished."""

import logging
from dataclasses import dataclass
from pathlib import Path

from surgery.errors import InputError
from surgery.files.whole_files import written_whole
from sweeps.conduct.conductor import Conductor, say_what_is_kept
from sweeps.executors.protocol import Executor
from sweeps.plan.plan import Plan
from sweeps.plan.text_notes import require_above_chance, texts_notes
from sweeps.records.record import Record, sound_records
from sweeps.report.write import write_report
from sweeps.results.protocols import by_protocol, measured_alike
from sweeps.store.full_disk import disk_full, is_disk_full
from sweeps.terminal.cell_tables import console
from sweeps.terminal.progress import Progress
from sweeps.terminal.summary import show, show_commands
from sweeps.terminal.sweep_log import sweep_log
from sweeps.tracking.report_run import track_report

_log = logging.getLogger(__name__)

OUTPUTS_README = """\
What the commands leave here:

store/<stage>/<key>/          hidden states, probes and measurements, by content; safe to delete, it is made again
runs/<sweep>/results.csv      one row a finished cell
runs/<sweep>/surgery.log      what the commands said, and when
runs/<sweep>/report.html      pictures, samples and numbers; opens in a browser, without a network
runs/<sweep>/<cell>/          config.yaml, result.json, samples.parquet (base beside edited), edit.safetensors
wandb/                        Weights & Biases runs, where tracking is on

`sweeps list` shows what there is.
"""


@dataclass(frozen=True)
class Outcome:
    """How a command ended: all records of its cells, and the ids of those that failed."""

    records: tuple[Record, ...]
    failed: tuple[str, ...]


def run_plan(plan: Plan, executor: Executor) -> Outcome:
    """Runs every cell that has no record yet and prints what came out.

    A cell that fails is recorded and shown at once, and the others go on (`fail_fast` stops). An interrupt drops the
    cells in flight; all that ended before is kept.

    Raises:
        InputError: when nothing more can be measured or written; what has ended is kept.
    """
    try:
        with sweep_log(plan.sweep_folder):
            conductor = start(plan, executor, len(plan.experiments))
            try:
                conductor.run(plan)
            finally:
                conductor.close()
            return tell(plan, conductor.records)
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(plan.output_dir) from error
        raise


def start(plan: Plan, executor: Executor, total: int) -> Conductor:
    """Says what is finished of a plan already.

    Args:
        plan: whose sweep it is.
        executor: what will run its cells.
        total: how many cells there will be in all.

    Raises:
        InputError: when `strict` refuses a finished cell.
    """
    progress_console = console(stderr=True)
    _write_outputs_readme(plan.output_dir)
    records, damaged = sound_records(plan.sweep_folder)
    damage = [f"{what}; its cell counts as not run" for what in damaged]
    for said in (*damage, *plan.notes, *texts_notes(plan)):
        _log.warning("%s", said)
        progress_console.print(said, markup=False, style="yellow", soft_wrap=True)
    require_above_chance(plan, [records[e.cell.id] for e in plan.experiments if e.cell.id in records])
    say_what_is_kept(plan, records, progress_console)
    conductor = Conductor(plan.sweep_folder, executor, Progress(progress_console, total, executor.slots), records)
    conductor.finished({experiment.cell.id for experiment in plan.experiments} - set(plan.waiting(records)))
    return conductor


def tell(plan: Plan, records: dict[str, Record]) -> Outcome:
    """Shows what came out of the plan's cells."""
    ours = tuple(records[e.cell.id] for e in plan.experiments if e.cell.id in records)
    chosen = show(ours, plan.choice, plan.sweep_folder, console())
    if len(ours) > 1:
        _write_report(plan, records)
    show_commands(chosen, plan.sweep_folder, console())
    return Outcome(ours, tuple(record.cell for record in ours if record.status == "failed"))


def _write_report(plan: Plan, records: dict[str, Record]) -> None:
    """Writes the page of the sweep; where that is not possible it says so, and the records stay what they are."""
    if not any(record.status == "done" and record.metrics for record in records.values()):
        return
    try:
        ours = by_protocol([records[e.cell.id] for e in plan.experiments if e.cell.id in records])
        # A sweep may hold cells of another evaluation from earlier; those have a page of their own on request.
        only = next(iter(ours)) if len(ours) == 1 else ""
        shown = measured_alike(list(records.values()), plan.sweep_folder, only)
        path = write_report(plan.sweep_folder, shown, plan.choice)
    except (InputError, OSError) as error:
        console(stderr=True).print(f"no report was written: {' '.join(str(error).split())}", style="yellow")
        return
    console().print(f"report:  {path}", markup=False, soft_wrap=True)
    track_report(plan, path, lambda text: console(stderr=True).print(text, markup=False, style="yellow"))
    if others := len(records) - len(shown):
        console().print(f"cells not in it, since they were measured in another way: {others}", markup=False)


def _write_outputs_readme(output_dir: Path) -> None:
    if not (output_dir / "README.md").exists():
        with written_whole(output_dir / "README.md") as temporary:
            temporary.write_text(OUTPUTS_README, encoding="utf-8")
