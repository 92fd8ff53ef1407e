"""A group of cells as a job of a cluster, and the lines by which it tells what happens.

The job and whoever sent it share a file system: the plan comes in a file, the records go into the sweep's folder, and
each event is a line of a file beside them. No port is opened, and a job outlives the command that sent it.
"""

import json
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from surgery.errors import InputError
from sweeps.executors.import_path import import_packages_only
from sweeps.executors.protocol import Busy, Ended, Event, Lost, Said, StageEnded, Started


@dataclass(frozen=True)
class Refused:
    """A job can't measure what its plan asks for."""

    reason: str


@dataclass(frozen=True)
class Over:
    """A job does no more; a reason where it did not come to its last cell."""

    reason: str | None


Line = Event | Refused | Over
_ALL: tuple[type[Line], ...] = (Started, StageEnded, Said, Ended, Busy, Lost, Refused, Over)
_KINDS = {kind.__name__: kind for kind in _ALL}


@dataclass(frozen=True)
class Job:
    """What a job is given.

    Attributes:
        plan: file with the pickled plan.
        cells: ids, in the order to run them in.
        log: file that gets one JSON object a line for each event.
        folder: that the plan's paths are relative to.
        environment: variables to set where the cluster did not.
        workers: processes that each take one of its cells at a time.
    """

    plan: Path
    cells: tuple[str, ...]
    log: Path
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1


class Interrupted(KeyboardInterrupt):
    """The cluster wants the job to end; the argument says why."""


def run_job(job: Job) -> None:
    """Runs a job's cells in this process: what SLURM's and Ray's workers call."""
    os.chdir(job.folder)
    import_packages_only()
    for name, value in job.environment.items():
        os.environ.setdefault(name, value)
    with open(job.log, "a", encoding="utf-8") as log:

        def say(line: object) -> None:
            # The file may be read from another machine at any time: whole lines only, and at once.
            log.write(json.dumps({"event": type(line).__name__, **asdict(line)}) + "\n")  # type: ignore[call-overload]
            log.flush()

        say(_run(job, say))


def _run(job: Job, say: Callable[[object], None]) -> Line:
    try:
        from sweeps.executors.group_runner import run_group

        run_group(pickle.loads(job.plan.read_bytes()), list(job.cells), say, job.workers)
    except InputError as error:  # of the plan: those of a cell are in its record
        return Refused(str(error))
    except KeyboardInterrupt as error:
        return Over(str(error) or "it was interrupted")
    except Exception as error:
        say(Over(f"{type(error).__name__}: {error}"))
        raise
    return Over(None)


def read_lines(log: Path, start: int) -> tuple[list[Line], int]:
    """The events that a job's log holds from a byte on, and where the next ones will begin.

    The file is opened anew each time: that is when a network file system looks for what is new.
    """
    try:
        with open(log, "rb") as file:
            file.seek(start)
            text = file.read()
    except FileNotFoundError:
        return [], start
    whole = text[: text.rfind(b"\n") + 1]
    lines = []
    for line in whole.splitlines():
        fields = json.loads(line)
        lines.append(_KINDS[fields.pop("event")](**fields))
    return lines, start + len(whole)
