"""What executors that send groups of cells to a cluster have in common: all but the sending."""

import os
import pickle
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from surgery.errors import InputError
from surgery.files.whole_files import written_whole
from sweeps.executors.grouping import in_groups, shared_work
from sweeps.executors.job import Job, Over, Refused, read_lines
from sweeps.executors.protocol import Busy, Ended, Listener, Lost, Started, require_whole
from sweeps.executors.sent_groups import RunElsewhere, SentGroup
from sweeps.plan.plan import Plan
from sweeps.records.record import RESULT

# How often the jobs' logs are read, in seconds.
POLL = 0.5
# A network file system may show a file to another machine only so much later, in seconds.
LATE = 60.0
# What a worker far away needs to be told of this process's environment; secrets are the cluster's own business.
PASSED_ON = (
    *("HF_HOME", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_DATASETS_OFFLINE", "WANDB_MODE", "WANDB_DISABLED"),
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "TOKENIZERS_PARALLELISM", "LM_HARNESS_CACHE_PATH"),
)


class Remote(ABC):
    """Sends groups of cells away as jobs, and tells what their logs and the cluster say of them.

    A job that dies takes only the cells with it that it was at: the rest of its group is sent again. Where it died
    before its first cell, all of them are lost, since nothing tells which one it was.

    Cells that need the same model and texts wait until one of them has ended: what they share then lies in the store,
    and is not made by every job at once.

    Args:
        name: of the cluster, for folders and messages.
        cells_per_job: most cells in a job.
        state_every: how often the cluster is asked for its jobs' states, in seconds.
    """

    def __init__(self, name: str, cells_per_job: int, state_every: float) -> None:
        require_whole("cells_per_job", cells_per_job, 1)
        self._name = name
        self._cells_per_job = cells_per_job
        self._state_every = state_every
        self._asked_at = 0.0
        self._submitted: list[tuple[Plan, list[str]]] = []
        self._waiting: list[SentGroup] = []
        self._sent: list[SentGroup] = []
        self._made: set[object] = set()
        self._elsewhere = RunElsewhere()
        self._plan_files: dict[int, tuple[Plan, Path]] = {}
        self._shares: dict[int, tuple[Plan, Mapping[str, object]]] = {}

    @property
    @abstractmethod
    def slots(self) -> int: ...

    @abstractmethod
    def _send(self, folder: Path, jobs: Sequence[Job]) -> list[Any]:
        """Gives jobs to the cluster; a handle for each. The folder is for what the cluster itself writes."""

    @abstractmethod
    def _ended_jobs(self, handles: Sequence[Any]) -> Mapping[Any, str]:
        """Those of the jobs that run no more, and how they ended, as a sentence."""

    @abstractmethod
    def _cancel(self, handles: Sequence[Any]) -> None:
        """Ends jobs that wait or run."""

    def submit(self, plan: Plan, cells: Sequence[str]) -> None:
        if fresh := self._elsewhere.keep(plan, cells):
            self._submitted.append((plan, fresh))

    def wait(self, on: Listener) -> None:
        self._group_submitted()
        self._submitted += self._elsewhere.look(on)
        self._send_what_may_go()
        if not self._sent:
            time.sleep(POLL if self._elsewhere.watched else 0)
            return
        heard = False
        for group in self._sent:
            heard |= self._hear(group, on)
        if monotonic() - self._asked_at >= self._state_every:
            heard |= self._ask(on)
            self._asked_at = monotonic()
        self._sent = [group for group in self._sent if not group.over or group.unseen]
        if not heard:
            time.sleep(POLL)

    def close(self) -> None:
        running = [group.handle for group in self._sent if not group.over]
        self._sent, self._waiting, self._submitted = [], [], []
        self._elsewhere.watched.clear()
        if running:
            self._cancel(running)
        for _, path in self._plan_files.values():
            path.unlink(missing_ok=True)
        self._plan_files.clear()

    def _group_submitted(self) -> None:
        """Groups what was submitted since the last time: cells that come back one by one travel together again."""
        plans = {id(plan): plan for plan, _ in self._submitted}
        for key, plan in plans.items():
            cells = [cell for other, some in self._submitted if id(other) == key for cell in some]
            shares = self._shares_of(plan)
            self._waiting += [SentGroup(plan, ids, shares) for ids in in_groups(plan, cells, self._cells_per_job)]
        self._submitted = []

    def _shares_of(self, plan: Plan) -> Mapping[str, object]:
        """What each cell of a plan needs made: a model's hidden states of texts, and what it measures unedited."""
        if id(plan) not in self._shares:
            shares = {e.cell.id: shared_work(e)[:2] for e in plan.experiments}
            for cell, share in shares.items():
                if share not in self._made and (plan.sweep_folder / cell / RESULT).is_file():
                    self._made.add(share)
            self._shares[id(plan)] = (plan, shares)
        return self._shares[id(plan)][1]

    def _send_what_may_go(self) -> None:
        if not self._waiting:
            return
        making = {share for group in self._sent if not group.over for share in group.made_from}
        going: list[SentGroup] = []
        for group in self._waiting:
            if not (group.made_from - self._made) & making:
                going.append(group)
                making |= group.made_from
        self._waiting = [group for group in self._waiting if not any(group is other for other in going)]
        folders: dict[Path, list[SentGroup]] = {}
        for group in going:
            folders.setdefault(group.plan.sweep_folder / f".{self._name.lower()}", []).append(group)
        for folder, groups in folders.items():
            # Absolute for the cluster's own tools, which may look from elsewhere.
            jobs = [self._job(group, folder.absolute()) for group in groups]
            for group, handle in zip(groups, self._send(folder.absolute(), jobs), strict=True):
                group.handle = handle
                self._sent.append(group)

    def _job(self, group: SentGroup, folder: Path) -> Job:
        folder.mkdir(parents=True, exist_ok=True)
        group.log = folder / f"{uuid4().hex[:12]}.events.jsonl"
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return Job(self._plan_file(group.plan, folder), tuple(group.cells), group.log, Path.cwd(), environment)

    def _plan_file(self, plan: Plan, folder: Path) -> Path:
        """One file for all jobs of a plan; it is kept with its plan so that no other is taken for it."""
        if id(plan) not in self._plan_files:
            path = folder / f"{uuid4().hex[:12]}.plan.pkl"
            with written_whole(path) as temporary:
                temporary.write_bytes(pickle.dumps(plan))
            self._plan_files[id(plan)] = (plan, path)
        return self._plan_files[id(plan)][1]

    def _hear(self, group: SentGroup, on: Listener) -> bool:
        """Tells what a job's log says that is new."""
        lines, group.read = read_lines(group.log, group.read)
        for line in lines:
            match line:
                case Over(reason):
                    group.over = True
                    self._lose(group, f"its job on {self._name} ended: {reason}", on)
                case Refused(reason):
                    group.over = True
                    raise InputError(reason)
                case Ended(cell):
                    group.running.discard(cell)
                    group.unseen[cell] = monotonic() + LATE
                case Busy(cell):
                    group.cells.remove(cell)
                    group.ended_any = True
                    self._elsewhere.busy.add(cell)
                    on(line)
                case Lost(cell):
                    group.running.discard(cell)
                    group.cells.remove(cell)
                    on(line)
                case Started(cell):
                    group.running.add(cell)
                    on(line)
                case _:
                    on(line)
        return self._tell_records(group, on) or bool(lines)

    def _tell_records(self, group: SentGroup, on: Listener) -> bool:
        """Tells of cells that their job says have ended, once their records can be seen from here."""
        told = False
        for cell, until in list(group.unseen.items()):
            there = (group.plan.sweep_folder / cell / RESULT).is_file()
            if not there and monotonic() < until:
                continue
            del group.unseen[cell]
            if cell in group.cells:
                group.cells.remove(cell)
            group.ended_any = told = True
            self._made.add(group.shares[cell])
            on(Ended(cell) if there else Lost(cell, f"its job on {self._name} wrote no record into {cell}"))
        return told

    def _ask(self, on: Listener) -> bool:
        """Tells of jobs that the cluster knows to have ended and that did not say so."""
        groups = [group for group in self._sent if not group.over]
        ended = self._ended_jobs([group.handle for group in groups]) if groups else {}
        for group in groups:
            if group.handle in ended:
                self._hear(group, on)  # its last words
                if not group.over:
                    group.over = True
                    self._lose(group, ended[group.handle], on)
        return bool(ended)

    def _lose(self, group: SentGroup, reason: str, on: Listener) -> None:
        lost, rest = group.lost_and_rest()
        if rest:
            self._submitted.append((group.plan, rest))
        group.cells = list(group.unseen)
        for cell in lost:
            on(Lost(cell, reason))
