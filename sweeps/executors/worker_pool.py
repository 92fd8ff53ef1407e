"""Worker processes on this machine, each with its own GPUs; one that dies is replaced."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from surgery.errors import InputError
from sweeps.executors.grouping import Shared, by_shared_work, shared_work
from sweeps.executors.protocol import Busy, Ended, Event, Listener, Lost, require_whole
from sweeps.plan.plan import Plan

# How long a worker may take to drop its cell before it is killed, in seconds.
GRACE = 10.0


@dataclass(frozen=True)
class Ready:
    """A worker has started."""


@dataclass(frozen=True)
class Refused:
    """A worker can't measure what a plan asks for."""

    reason: str


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: Connection
    ready: bool = False
    plan: Plan | None = None
    cell: str | None = None
    holds: Shared | None = None


@dataclass
class _Waiting:
    plan: Plan
    cell: str
    shares: Shared


def visible_gpus() -> list[str]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them. CUDA itself is not started for that."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def worker_environments(workers: int | None, gpus_per_worker: int, gpus: Sequence[str]) -> list[dict[str, str]]:
    """What each worker's environment adds: its GPUs, or its share of the cores where there are none.

    Without GPUs there is one worker unless more are asked for.

    Raises:
        InputError: when the numbers ask for something that is not there.
    """
    if workers is not None:
        require_whole("workers", workers, 0)
    require_whole("gpus_per_worker", gpus_per_worker, 0)
    # None of their own: they see all, as workers of an engine that is a server have it.
    if not gpus or not gpus_per_worker:
        count = workers or 1
        added = {} if gpus else _share_of_cores(count)
        return [dict(added) for _ in range(count)]
    most = len(gpus) // gpus_per_worker
    count = most if workers is None else workers
    if count > most or not count:
        raise InputError(
            f"hydra.launcher.workers={count or 1} with {gpus_per_worker} GPUs each needs "
            f"{(count or 1) * gpus_per_worker} GPUs; there are {len(gpus)}"
        )
    return [
        {"CUDA_VISIBLE_DEVICES": ",".join(gpus[i * gpus_per_worker : (i + 1) * gpus_per_worker])} for i in range(count)
    ]


def _share_of_cores(workers: int) -> dict[str, str]:
    """Threads of one of several workers on a CPU, unless this process was told how many: more than cores are slow."""
    if workers == 1 or "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // workers))}


@dataclass
class Workers:
    """Processes that keep a model each and take one cell at a time.

    Attributes:
        environments: one a worker: what is added to its environment before anything is imported there.
        bars: whether long stages show bars.
    """

    environments: Sequence[dict[str, str]]
    bars: bool = False
    _waiting: list[_Waiting] = field(default_factory=list)
    _workers: list[_Worker | None] = field(default_factory=list)
    _pickles: dict[int, tuple[Plan, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._workers = [None] * len(self.environments)

    @property
    def slots(self) -> int:
        return len(self.environments)

    def submit(self, plan: Plan, cells: Sequence[str]) -> None:
        shares = {experiment.cell.id: shared_work(experiment) for experiment in plan.experiments}
        self._waiting += [_Waiting(plan, cell, shares[cell]) for cell in by_shared_work(plan, cells)]

    def wait(self, on: Listener) -> None:
        self._hand_out()
        busy = [worker for worker in self._workers if worker and worker.cell]
        if not busy:
            return
        for pipe in wait([worker.pipe for worker in busy], timeout=1.0):
            self._hear(next(worker for worker in busy if worker.pipe is pipe), on)

    def close(self) -> None:
        self._waiting.clear()
        workers = [worker for worker in self._workers if worker]
        for worker in workers:
            # With its pipe a worker's work ends: one that has a cell drops it.
            worker.pipe.close()
        for worker in workers:
            try:
                worker.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._workers = [None] * len(self.environments)

    def _hand_out(self) -> None:
        """Gives each idle worker a cell: one that shares what it holds, else what no other worker is at."""
        for place, environment in enumerate(self.environments):
            worker = self._workers[place]
            if not self._waiting:
                return
            if worker and worker.cell:
                continue
            if worker is None:
                worker = self._workers[place] = _start(environment, self.bars)
            chosen = self._choose(worker)
            self._waiting.remove(chosen)
            self._send(worker, chosen)

    def _choose(self, worker: _Worker) -> _Waiting:
        elsewhere = [other.holds for other in self._workers if other and other is not worker and other.cell]

        def preference(waiting: _Waiting) -> tuple[int, int]:
            ours = _agreement(waiting.shares, worker.holds)
            theirs = max((_agreement(waiting.shares, held) for held in elsewhere), default=0)
            return -ours, theirs

        return min(self._waiting, key=preference)

    def _send(self, worker: _Worker, chosen: _Waiting) -> None:
        worker.cell, worker.holds = chosen.cell, chosen.shares
        try:
            if worker.plan is not chosen.plan:
                # Kept with its plan, so that another plan at the same address is not taken for it.
                if id(chosen.plan) not in self._pickles:
                    self._pickles = {id(chosen.plan): (chosen.plan, pickle.dumps(chosen.plan))}
                worker.pipe.send_bytes(self._pickles[id(chosen.plan)][1])
                worker.plan = chosen.plan
            worker.pipe.send_bytes(pickle.dumps(chosen.cell))
        except OSError:
            return  # it died while it was idle; reading its pipe tells so, and the cell is lost to it

    def _hear(self, worker: _Worker, on: Listener) -> None:
        try:
            event = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker, on)
            return
        if isinstance(event, Ready):
            worker.ready = True
        elif isinstance(event, Refused):
            worker.cell = None
            raise InputError(event.reason)
        else:
            if isinstance(event, Ended | Busy | Lost):
                worker.cell = None
            on(event)

    def _bury(self, worker: _Worker, on: Listener) -> None:
        worker.pipe.close()
        reason = _how_it_ended(worker.process.wait())
        self._workers[self._workers.index(worker)] = None
        if not worker.ready:
            raise InputError(f"a worker process {reason} before it took a cell; hydra.launcher.workers=0 shows why")
        assert worker.cell is not None
        on(Lost(worker.cell, f"its worker process {reason}"))


def run_at_once(plan: Plan, cells: Sequence[str], workers: int, say: Listener) -> None:
    """Runs cells of a plan in worker processes that see all that this one does.

    Raises:
        InputError: when a worker can't measure what the plan asks for.
    """
    open_cells = set(cells)

    def hear(event: Event) -> None:
        if isinstance(event, Ended | Busy | Lost):
            open_cells.discard(event.cell)
        say(event)

    pool = Workers([{}] * min(workers, len(cells)))
    try:
        pool.submit(plan, cells)
        while open_cells:
            pool.wait(hear)
    finally:
        pool.close()


def _agreement(one: Shared, other: Shared | None) -> int:
    """How much two cells share: model, texts, layer, from the left."""
    if other is None:
        return 0
    count = 0
    for a, b in zip(one, other, strict=True):
        if a != b:
            break
        count += 1
    return count


def _start(environment: dict[str, str], bars: bool) -> _Worker:
    ours, theirs = Pipe()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "sweeps.executors.worker_process", str(theirs.fileno()), str(int(bars))],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        # What a library prints is no result.
        stdout=sys.stderr.fileno() if _has_descriptor(sys.stderr) else subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
        # Ctrl-C is for the command; it tells its workers.
        process_group=0,
    )
    theirs.close()
    return _Worker(process, ours)


def _has_descriptor(stream: object) -> bool:
    try:
        stream.fileno()  # type: ignore[attr-defined]
    except (OSError, AttributeError):
        return False
    return True


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + (" (out of memory?)" if -code == signal.SIGKILL else "")
