"""Groups of cells as jobs of a SLURM cluster, sent by submitit; the command that sent them waits for the records."""

import getpass
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from types import FrameType
from typing import Any

from surgery.errors import InputError
from sweeps.executors.job import Interrupted, Job, run_job
from sweeps.executors.protocol import require_whole
from sweeps.executors.remote import Remote

# SLURM's own limit, where nobody set another one, is 1,001 tasks an array.
ARRAY = 1000
# A job is looked for so many times in vain before it is taken for gone.
VAIN = 3
LIVE = {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED"}
LIVE |= {"RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
# Before the time limit or a preemption ends a job, it is told so many seconds ahead.
WARNED = 30


class Slurm(Remote):
    """Runs cells in jobs of a SLURM cluster.

    Args:
        partition: SLURM's name of one; None takes the cluster's default.
        timeout_min: a job's time limit; cells that it does not come to are sent again.
        cpus_per_task, mem_gb, gpus_per_worker: of a job; None leaves them to the cluster.
        jobs: most jobs at once.
        cells_per_job: most cells in a job.
        workers_per_job: processes of a job that run its cells at once; each sees all that the job has.
        setup: shell lines before a job's Python.
        additional: other options of sbatch, by their long names.

    Raises:
        InputError: for a value that is not possible, and where submitit or SLURM is not there.
    """

    def __init__(
        self,
        partition: str | None = None,
        timeout_min: int = 240,
        cpus_per_task: int | None = None,
        mem_gb: float | None = None,
        gpus_per_worker: int | None = None,
        jobs: int = 16,
        cells_per_job: int = 20,
        workers_per_job: int = 1,
        setup: Sequence[str] = (),
        additional: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__("SLURM", cells_per_job, state_every=5.0)
        for key, value in (("timeout_min", timeout_min), ("jobs", jobs), ("workers_per_job", workers_per_job)):
            require_whole(key, value, 1)
        for key, given, least in (("cpus_per_task", cpus_per_task, 1), ("gpus_per_worker", gpus_per_worker, 0)):
            if given is not None:
                require_whole(key, given, least)
        if isinstance(setup, str):
            raise InputError("hydra.launcher.setup is a list of shell lines; write hydra.launcher.setup=['LINE']")
        _require_slurm()
        asked = {
            "partition": partition,
            "time": timeout_min,
            "cpus_per_task": cpus_per_task,
            "mem": None if mem_gb is None else f"{round(mem_gb * 1024)}MB",
            "gpus_per_node": gpus_per_worker or None,
            "setup": list(setup) or None,
            "additional_parameters": dict(additional or {}) or None,
            # A step of srun does not take the batch's number of processors since SLURM 22.05.
            "srun_args": None if cpus_per_task is None else [f"--cpus-per-task={cpus_per_task}"],
        }
        self._parameters = {key: value for key, value in asked.items() if value is not None}
        self._jobs, self._workers = jobs, workers_per_job
        self._vain: dict[str, int] = {}
        self._submitit_jobs: dict[str, Any] = {}

    @property
    def slots(self) -> int:
        return self._jobs * self._workers

    def _send(self, folder: Path, jobs: Sequence[Job]) -> list[str]:
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        # Without -P the job's Python would take any surgery.py or json.py of the working directory for the real one.
        python = f"{shlex.quote(sys.executable)} -P"
        executor = SlurmExecutor(folder=folder, max_num_timeout=0, python=python)
        executor.update_parameters(
            job_name="surgery", array_parallelism=self._jobs, signal_delay_s=WARNED, **self._parameters
        )
        sent: list[Any] = []
        for some in _chunks(jobs, ARRAY):
            try:
                # Submitit repeats what sbatch says; it is part of our own sentence.
                with redirect_stderr(StringIO()), executor.batch():
                    batch = [executor.submit(_run_in_slurm, replace(job, workers=self._workers)) for job in some]
            except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
                said = _last_line(_stderr(error)).removeprefix("sbatch: error: ")
                raise InputError(f"sbatch refuses the jobs: {said}") from None
            sent += batch
        self._submitit_jobs |= {job.job_id: job for job in sent}
        return [job.job_id for job in sent]

    def _ended_jobs(self, handles: Sequence[str]) -> dict[str, str]:
        states = _states()
        if states is None:
            return {}  # a controller that does not answer now may do so the next time
        ended = {}
        for job in handles:
            state = states.get(job)
            self._vain[job] = 0 if state else self._vain.get(job, 0) + 1
            if (state and state not in LIVE) or self._vain[job] >= VAIN:
                words = _last_line(_text(self._submitit_jobs[job].paths.stderr))
                ended[job] = f"SLURM job {job} ended as {state or 'unknown to the queue'}" + (words and f": {words}")
        return ended

    def _cancel(self, handles: Sequence[str]) -> None:
        for some in _chunks(handles, ARRAY):
            subprocess.run(["scancel", *some], check=False, capture_output=True, timeout=60)


def _run_in_slurm(job: Job) -> None:
    """Runs a job's cells; a signal that ends the job drops the cell in flight."""
    # Submitit's own answer to its signal is an exception, which would be taken for the cell's failure.
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGUSR2, _end)
    run_job(job)


def _end(number: int, frame: FrameType | None) -> None:
    # Once is enough: what cleans up is not to be cut off.
    for other in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(other, signal.SIG_IGN)
    why = "its time limit is near, or it is preempted" if number == signal.SIGUSR2 else "it was cancelled"
    raise Interrupted(f"{why} ({signal.Signals(number).name})")


def _require_slurm() -> None:
    if find_spec("submitit") is None:
        raise InputError("hydra/launcher=resident_slurm needs submitit; pip install 'llm-surgery[slurm]'")
    missing = [program for program in ("sbatch", "srun", "squeue", "scancel") if shutil.which(program) is None]
    if missing:
        raise InputError(
            f"hydra/launcher=resident_slurm needs SLURM's commands, and {', '.join(missing)} can't be found; "
            "run it on a login node of the cluster"
        )


def _states() -> dict[str, str] | None:
    """The states of this user's jobs, ended ones too while the controller remembers them; None if it does not answer.

    Asked of the controller's queue and not of the accounting, which small clusters do not have.
    """
    command = ["squeue", "--noheader", "--array", "--states=all", f"--user={getpass.getuser()}", "--format=%i|%T"]
    try:
        asked = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return None
    if asked.returncode:
        return None
    return dict(line.strip().split("|", 1) for line in asked.stdout.splitlines() if "|" in line)


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _stderr(error: Exception) -> str:
    said = getattr(error, "stderr", None)
    return said if isinstance(said, str) and said.strip() else str(error)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
