"""The cells of a plan, one after another, in a process that keeps the model. Every executor calls this."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from evaluation.engines.completions_server import ServerLost
from surgery.files.whole_files import clear_leftovers, written_whole
from surgery.probe.chance import chance_note
from surgery.probe.probe import Probe
from sweeps.executors.protocol import Busy, Ended, Listener, Lost, Said, StageEnded, Started
from sweeps.executors.worker_pool import run_at_once
from sweeps.plan.experiment import Experiment
from sweeps.plan.plan import Plan
from sweeps.records.record import lock_file
from sweeps.run.run_cell import run_cell
from sweeps.run.workbench import Workbench
from sweeps.store.full_disk import disk_full, is_disk_full
from sweeps.store.store import Store
from sweeps.terminal.library_output import quiet_libraries
from sweeps.tracking.guarded_tracking import GuardedTracking
from sweeps.tracking.tracker import Tracker, make_tracker


class GroupRunner:
    """Runs cells of one plan or of several that share a store; models and rankings stay from cell to cell.

    Args:
        say: told what happens.
        bars: whether long stages show bars.
    """

    def __init__(self, say: Listener, bars: bool = False) -> None:
        self._say = say
        self._bars = bars
        self._plan: Plan | None = None
        self._experiments: dict[str, Experiment] = {}
        self._prepared: set[int] = set()
        self._bench: Workbench | None = None
        self._tracker: Tracker | None = None
        self._told: set[str] = set()

    def take(self, plan: Plan) -> None:
        """Makes a plan the one whose cells are run next.

        Raises:
            InputError: when something that its measurements need can't be loaded; that costs no cell.
        """
        if self._plan is plan:
            return
        if self._bench is None:
            store = Store(plan.store_folder, self._tell)
            self._bench = Workbench(store, plan.experiments, progress=self._bars, say=self._tell)
            self._tracker = make_tracker(plan, self._tell)
        else:
            self._bench.expect(plan.experiments)
        for experiment in plan.experiments:
            self._prepare(experiment)
        self._plan = plan
        self._experiments = {experiment.cell.id: experiment for experiment in plan.experiments}

    def run(self, cell: str) -> None:
        """Runs a cell of the plan unless it has a record by now, or another command runs it."""
        assert self._plan is not None
        experiment, folder = self._experiments[cell], self._plan.sweep_folder / cell
        with _claimed(self._plan.sweep_folder, cell) as ours:
            if not ours:
                self._say(Busy(cell))
                return
            if self._plan.ended(cell) is None:
                clear_leftovers(folder)
                self._say(Started(cell))
                lost = self._run(experiment, self._plan, folder)
                if lost is not None:
                    self._say(Lost(cell, lost))
                    return
        self._say(Ended(cell))

    def _run(self, experiment: Experiment, plan: Plan, folder: Path) -> str | None:
        """Why the cell has no record; None where it has one."""
        assert self._bench is not None and self._tracker is not None
        following = GuardedTracking(self._tracker, plan.swept_values(experiment), experiment, self._tell)

        def on_stage(name: str, seconds: float) -> None:
            self._say(StageEnded(experiment.cell.id, name, seconds))
            following.stage(name, seconds)

        def on_probe(behavior: Probe, direction: Probe) -> None:
            probes.append(direction)
            if not plan.strict:  # under `strict` the refusal says it
                self._tell_chance(experiment, behavior)

        probes: list[Probe] = []
        try:
            record = run_cell(self._bench, experiment, folder, on_stage, on_probe, plan.pruning, plan.strict)
        except KeyboardInterrupt:
            following.close()
            raise
        except ServerLost as error:  # not the cell's fault: another server may take the place of this one
            following.close()
            return str(error)
        except Exception as error:  # whatever it is, it belongs to this cell: it is recorded, shown, and counted
            if is_disk_full(error):
                following.close()
                raise disk_full(plan.output_dir) from error
            record = experiment.failed(error)
            probes.clear()
            with _on_disk(plan), written_whole(folder / "traceback.txt") as temporary:
                temporary.write_text(traceback.format_exc(), encoding="utf-8")
        with _on_disk(plan):
            record.save(folder)
        following.finish(record, folder, probes[0] if probes else None)
        return None

    def _tell_chance(self, experiment: Experiment, probe: Probe) -> None:
        """Says of each probe once, as soon as it is there, that it is no better than chance."""
        if (note := chance_note(probe.metrics)) and probe.fingerprint not in self._told:
            self._told.add(probe.fingerprint)
            self._tell(f"{experiment.cell.settings.behavior.name}, layer {experiment.cell.layer}: {note}")

    def _prepare(self, experiment: Experiment) -> None:
        for evaluator in experiment.evaluators.values():
            if id(evaluator) not in self._prepared:
                evaluator.prepare()
                self._prepared.add(id(evaluator))

    def _tell(self, text: str) -> None:
        self._say(Said(text))


@contextmanager
def _on_disk(plan: Plan) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise disk_full(plan.output_dir) from error
        raise


def run_group(
    plan: Plan, cells: list[str], say: Callable[[object], None] = lambda event: None, workers: int = 1
) -> None:
    """Runs cells of a plan in this process, or several at once in processes of it: what a cluster's job calls."""
    if workers > 1:
        run_at_once(plan, cells, workers, say)
        return
    quiet_libraries()
    runner = GroupRunner(say)
    runner.take(plan)
    for cell in cells:
        runner.run(cell)


@contextmanager
def _claimed(sweep_folder: Path, cell: str) -> Iterator[bool]:
    """Whether the cell is ours: no other process of this machine, or of a shared file system with locks, has it.

    The system drops the lock of a process that dies, so a killed command leaves no cell claimed.
    """
    lock = FileLock(lock_file(sweep_folder, cell))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
