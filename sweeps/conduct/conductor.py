"""Drives an executor through the cells of plans: what is kept, what is retried, what a person sees."""

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.markup import escape

from sweeps.executors.protocol import Busy, Ended, Event, Executor, Lost, Said, StageEnded, Started
from sweeps.plan.plan import Plan
from sweeps.records.record import Record, sound_records, write_table
from sweeps.terminal.progress import Progress

# Cells whose worker dies are run again so many times.
RETRIES = 1
# results.csv is written whole each time, 2.5 s with 10,000 cells: at most this share of the time goes there.
TABLE_SHARE = 0.05
# How long to leave a cell alone that another command runs, in seconds.
LOOK_AGAIN = 1.0


class Conductor:
    """Runs cells of one sweep through an executor and keeps their records.

    Args:
        folder: of the sweep.
        executor: what runs cells; closed by `close`.
        progress: what a person sees.
        records: those there are already, by cell.
    """

    def __init__(self, folder: Path, executor: Executor, progress: Progress, records: Mapping[str, Record]) -> None:
        self._folder = folder
        self._executor = executor
        self._progress = progress
        self._plans: dict[str, Plan] = {}
        self._tries: dict[str, int] = {}
        self._open: set[str] = set()
        self._busy: dict[str, float] = {}
        self._fresh: list[Record] = []
        self._next_table = monotonic()
        self.records = dict(records)

    @property
    def slots(self) -> int:
        """How many cells run at once."""
        return self._executor.slots

    def finished(self, cells: Collection[str], known: Collection[str] = ()) -> None:
        """Says which cells of the command had ended before it began, and which others are chosen among too."""
        shown = {*cells, *known}
        self._progress.finished(len(cells), [record for cell, record in self.records.items() if cell in shown])

    def submit(self, plan: Plan) -> None:
        """Takes the cells of a plan that have no record yet, or a failed one that is to be tried again."""
        waiting = plan.waiting(self.records)
        for cell in waiting:
            self._plans[cell] = plan
            self._tries[cell] = 0
        self._open.update(waiting)
        self._executor.submit(plan, waiting)

    @property
    def open(self) -> int:
        """Cells that were submitted and have not ended."""
        return len(self._open)

    def wait(self) -> list[Record]:
        """Blocks for a second at most, or until something happened; the records of cells that ended meanwhile."""
        if len(self._busy) == len(self._open):
            time.sleep(LOOK_AGAIN / 5)
        self._look_again()
        self._executor.wait(self._on)
        fresh, self._fresh = self._fresh, []
        if fresh and monotonic() >= self._next_table:
            self._write_table()
        return fresh

    def run(self, plan: Plan) -> None:
        """Submits a plan and waits until all its cells have ended; stops at a failure under `fail_fast`."""
        self.submit(plan)
        while self._open:
            for record in self.wait():
                if record.status == "failed" and plan.fail_fast:
                    return

    def close(self) -> None:
        """Ends what still runs and writes results.csv."""
        self._executor.close()
        self._progress.close()
        # Another command may have added to the sweep meanwhile.
        self.records |= sound_records(self._folder)[0]
        if self.records:
            self._write_table()

    def _write_table(self) -> None:
        start = monotonic()
        write_table(self._folder, self.records.values())
        self._next_table = monotonic() + (monotonic() - start) / TABLE_SHARE

    def _on(self, event: Event) -> None:
        match event:
            case Started(cell):
                self._progress.started(cell, self._plans[cell].label(cell))
            case StageEnded(cell, stage, seconds):
                self._progress.stage(cell, stage, seconds)
            case Said(text):
                self._progress.say(text)
            case Ended(cell):
                self._ended(Record.load(self._folder / cell))
            case Busy(cell):
                if cell not in self._busy:
                    self._progress.say(f"{cell} is being run by another command; its record is waited for")
                self._busy[cell] = monotonic() + LOOK_AGAIN
            case Lost(cell, reason):
                self._lost(cell, reason)

    def _look_again(self) -> None:
        due = [cell for cell, when in self._busy.items() if when <= monotonic()]
        for cell in due:
            self._busy[cell] = float("inf")
            self._executor.submit(self._plans[cell], [cell])

    def _ended(self, record: Record) -> None:
        self._busy.pop(record.cell, None)
        self._open.discard(record.cell)
        self.records[record.cell] = record
        self._fresh.append(record)
        self._progress.ended(record, self._plans[record.cell])

    def _lost(self, cell: str, reason: str) -> None:
        plan = self._plans[cell]
        if (ended := plan.ended(cell)) is not None:
            self._ended(ended)  # what ran it died before it could say so
            return
        self._tries[cell] += 1
        if self._tries[cell] <= RETRIES:
            self._progress.lost(cell, f"{plan.label(cell)}: {reason}; the cell is run again")
            self._executor.submit(plan, [cell])
            return
        record = plan.experiment(cell).failed(f"{reason}, {self._tries[cell]} times")
        record.save(self._folder / cell)
        self._ended(record)


def say_what_is_kept(plan: Plan, records: Mapping[str, Record], to: Console) -> None:
    """Tells which cells of a plan have ended already."""
    waiting = set(plan.waiting(records))
    kept = [records[e.cell.id] for e in plan.experiments if e.cell.id not in waiting]
    if not kept:
        return
    to.print(f"{len(kept)} of {len(plan.experiments)} cells are finished already, in {plan.sweep_folder}")
    for record in kept:
        if record.status == "failed":
            to.print(f"  {record.cell} failed: {escape(str(record.error))} (retry_failed=true runs it again)")
