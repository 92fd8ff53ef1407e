"""Runs the cells of a plan, one after another in this process; what is finished stays finished."""

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from surgery.errors import InputError
from surgery.files import written_whole
from sweeps.choice import Choice
from sweeps.plan import Experiment, Plan
from sweeps.progress import Progress
from sweeps.records import RESULT, Record, load_records, swept_keys, write_table
from sweeps.store import Store
from sweeps.tables import cell_table, change, console, headline_metrics, sweep_table
from sweeps.tracking import CellTracker, Tracker, make_tracker

if TYPE_CHECKING:
    from surgery.probe import Probe
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


def label(experiment: Experiment, plan: Plan) -> str:
    """A cell's id and what was swept, for a line of progress."""
    keys = {e.cell.id: Record(e.cell.id, "done", keys=e.cell.keys(), versions={}) for e in plan.experiments}
    named = swept_keys(list(keys.values()))
    values = experiment.cell.keys()
    return f"{experiment.cell.id} " + " ".join(f"{name}={values[name]}" for name in named if name in values)


def _run(waiting: list[Experiment], plan: Plan, tracker: Tracker, progress: Progress, to: Console) -> Iterable[Record]:
    from sweeps.session import Session

    session = Session(Store(plan.store_folder), plan.experiments, progress=to.is_terminal)
    for experiment in _by_shared_work(waiting):
        with progress.cell(label(experiment, plan)):
            record = _one(session, experiment, plan, tracker, progress, to)
        progress.ended(record)
        yield record


def _one(
    session: "Session", experiment: Experiment, plan: Plan, tracker: Tracker, progress: Progress, to: Console
) -> Record:
    from sweeps.run_cell import run_cell

    folder = plan.sweep_folder / experiment.cell.id
    following = _Following(tracker, experiment, to)

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
        record = Record(experiment.cell.id, "failed", error=reason.splitlines()[0], keys=experiment.cell.keys())
        with written_whole(folder / "traceback.txt") as temporary:
            temporary.write_text(traceback.format_exc(), encoding="utf-8")
    record.save(folder)
    following.finish(record, folder, probe)
    return record


class _Following:
    """Tracking that can fail without the cell: its records are written first, and a failure is said."""

    def __init__(self, tracker: Tracker, experiment: Experiment, to: Console) -> None:
        self._to = to
        self._tracker: CellTracker | None = None
        self._guard(lambda: self._start(tracker, experiment))

    def _start(self, tracker: Tracker, experiment: Experiment) -> None:
        self._tracker = tracker.start(experiment)

    def stage(self, name: str, seconds: float) -> None:
        if (tracker := self._tracker) is not None:
            self._guard(lambda: tracker.stage(name, seconds))

    def finish(self, record: Record, folder: Path, probe: "Probe | None") -> None:
        if (tracker := self._tracker) is not None:
            self._guard(lambda: tracker.finish(record, folder, probe))

    def close(self) -> None:
        if self._tracker is not None:
            self._guard(self._tracker.close)

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # a tracking service must not cost a result
            self._tracker = None
            reason = escape(str(error).splitlines()[0] if str(error) else type(error).__name__)
            self._to.print(f"[yellow]tracking failed for this cell[/yellow] ({reason}); its local record is complete")


def _write_outputs_readme(output_dir: Path) -> None:
    if not (output_dir / "README.md").exists():
        with written_whole(output_dir / "README.md") as temporary:
            temporary.write_text(OUTPUTS_README, encoding="utf-8")


def show(records: tuple[Record, ...], choice: Choice | None, folder: Path, to: Console) -> None:
    """Prints the table of the cells, the one that was chosen, and where the records are."""
    done = [record for record in records if record.status == "done"]
    if len(records) == 1 and done:
        record = done[0]
        keys = ", ".join(f"{key}={record.keys[key]}" for key in ("model", "behavior", "layer", "top_k", "alpha"))
        to.print(f"{record.cell}: {keys}", markup=False)
        to.print(cell_table(record))
        to.print(f"{record.edit['region']}, {len(record.edit['rows_per_layer'])} layers touched", markup=False)
    elif records:
        best = choice.pick((record.cell, record.metrics) for record in done) if choice else None
        to.print(sweep_table(records, best))
        if choice is not None:
            show_choice(done, best, choice, to)
    failed = len(records) - len(done)
    if failed:
        to.print(f"[red]{failed} of {len(records)} cells failed[/red]; each says why above and in its {RESULT}")
    to.print(f"records: {folder}", markup=False)


def show_choice(done: list[Record], best: str | None, choice: Choice, to: Console) -> None:
    """Prints which cell was chosen, by what, and what it measures on the report half."""
    if best is None:
        to.print(f"no cell qualifies for: {choice} (on the selection half)")
        return
    record = next(record for record in done if record.cell == best)
    keys = " ".join(f"{key}={record.keys[key]}" for key in swept_keys(done))
    to.print(f"* chosen on the selection half: {best} ({keys}), by {choice}", markup=False)
    to.print("  told on the report half:", markup=False)
    for name in headline_metrics([record]):
        metric = record.metrics[name]
        if metric["base"]:
            low, high = metric["ci95"]
            share = f"{metric['delta'] / metric['base']:+.0%}"
            interval = f"95 % interval {low:+.3f} to {high:+.3f}"
            line = f"{change(metric)}  ({share}; change {metric['delta']:+.3f}, {interval}, n={metric['n']})"
            to.print(f"    {name:24} {line}", markup=False)
