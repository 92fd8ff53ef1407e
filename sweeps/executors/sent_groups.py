"""What an executor that sends groups away remembers: of a group that was sent, and of cells that others run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sweeps.executors.protocol import Ended, Listener
from sweeps.plan.plan import Plan
from sweeps.records.record import lock_file


@dataclass
class SentGroup:
    """A group of cells that waits to be sent, or was.

    Attributes:
        plan: of its cells.
        cells: those whose end was not told yet.
        shares: what each cell of the plan needs made.
        handle: the cluster's name for its job.
        log, read: the job's events, and how many bytes of them were read.
        running: the cells that its job is at.
        ended_any: whether its job has come to the end of a cell.
        over: whether its job does no more.
        unseen: cells that its job says have ended, and until when their records are waited for.
    """

    plan: Plan
    cells: list[str]
    shares: Mapping[str, object]
    handle: Any = None
    log: Path = Path()
    read: int = 0
    running: set[str] = field(default_factory=set)
    ended_any: bool = False
    over: bool = False
    unseen: dict[str, float] = field(default_factory=dict)

    @property
    def made_from(self) -> set[object]:
        """The models and texts that its cells need."""
        return {self.shares[cell] for cell in self.cells}

    def lost_and_rest(self) -> tuple[list[str], list[str]]:
        """What is lost with its job: the cells that it was at, or all where it came to none; and what is not."""
        left = [cell for cell in self.cells if cell not in self.unseen]
        if not (self.running or self.ended_any or self.unseen):
            return left, []
        return [cell for cell in left if cell in self.running], [cell for cell in left if cell not in self.running]


@dataclass
class RunElsewhere:
    """Cells that another command runs, watched from here: a job is a costly way to look at a lock.

    Attributes:
        busy: cells that a job found to be run by another command.
        watched: those of them that were submitted again.
    """

    busy: set[str] = field(default_factory=set)
    watched: dict[str, Plan] = field(default_factory=dict)

    def keep(self, plan: Plan, cells: Sequence[str]) -> list[str]:
        """Watches those cells that were busy; the others are returned."""
        again = self.busy & set(cells)
        self.busy -= again
        self.watched |= dict.fromkeys(again, plan)
        return [cell for cell in cells if cell not in again]

    def look(self, on: Listener) -> list[tuple[Plan, list[str]]]:
        """Tells of those that have a record now; what nobody runs any more and has none is returned."""
        free = []
        for cell, plan in list(self.watched.items()):
            try:
                with FileLock(lock_file(plan.sweep_folder, cell), blocking=False):
                    pass
            except Timeout:
                continue
            del self.watched[cell]
            if plan.ended(cell) is not None:
                on(Ended(cell))
            else:
                free.append((plan, [cell]))
        return free
