"""Results sent beside the local records: Weights & Biases, one run a cell."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from surgery.errors import InputError
from sweeps.config.wandb_settings import wandb_mode
from sweeps.plan.experiment import Experiment
from sweeps.plan.plan import Plan
from sweeps.records.record import Record
from sweeps.tracking.wandb_note import Note
from sweeps.tracking.wandb_run import log_record, open_run, require_server

if TYPE_CHECKING:
    from surgery.probe.probe import Probe


class CellTracker(Protocol):
    """Follows one cell."""

    def stage(self, name: str, seconds: float) -> None:
        """A stage ended."""

    def finish(self, record: Record, folder: Path, probe: "Probe | None") -> None:
        """The cell ended and its record is written."""

    def close(self) -> None:
        """The cell was cut off."""


class Tracker(Protocol):
    """Follows a sweep."""

    def start(self, name: str, experiment: Experiment) -> CellTracker:
        """A cell begins; its name says what was swept."""


class Untracked:
    """Local records only."""

    def start(self, name: str, experiment: Experiment) -> "Untracked":
        return self

    def stage(self, name: str, seconds: float) -> None:
        return None

    def finish(self, record: Record, folder: Path, probe: "Probe | None") -> None:
        return None

    def close(self) -> None:
        return None


def make_tracker(plan: Plan, say: Callable[[str], None] = lambda text: None) -> Tracker:
    """The tracker that a plan's `tracking` names; none where W&B is switched off on this machine.

    Args:
        plan: with its tracking as `settled` gave it.
        say: told where a server that nobody insists on does not answer: the runs are then logged offline.

    Raises:
        InputError: when W&B can't be used here as it was asked for: `tracking.mode=online` without a key, say.
    """
    mode = mode_of(plan, say)
    return Untracked() if mode is None else WandbTracker(plan, mode)


def mode_of(plan: Plan, say: Callable[[str], None]) -> Literal["online", "offline"] | None:
    """How W&B is told of a plan; None where it is not. See `make_tracker`."""
    if plan.tracking["kind"] == "none":
        return None
    asked = str(plan.tracking["mode"])
    mode = wandb_mode(asked)
    if mode == "disabled":
        return None
    if mode == "online":
        try:
            require_server()
        except InputError as error:
            if asked != "auto":
                raise
            say(f"{error}; W&B's runs are logged offline, and `sweeps sync {plan.sweep}` sends them")
            mode = "offline"
    return mode


class WandbTracker:
    """One run a cell, grouped by sweep, named by what was swept.

    Online, a run opens when its cell starts and shows each stage as it ends. Offline, it is written once, at the
    end, from the record: an offline run that is opened again makes a second one.
    """

    def __init__(self, plan: Plan, mode: Literal["online", "offline"]) -> None:
        self._settings = plan.tracking
        self._mode = mode
        self._sweep = plan.sweep
        self._folder = plan.output_dir

    def start(self, name: str, experiment: Experiment) -> "WandbCell":
        return WandbCell(self, name, experiment)

    def open(self, name: str, experiment: Experiment) -> Any:
        """A new run."""
        cell = experiment.cell
        config = {"cell": cell.id, "protocol": cell.protocol, **cell.keys(), "composed": experiment.config}
        return open_run(self._settings, self._folder, mode=self._mode, group=self._sweep, name=name, config=config)

    def note(self, run: Any) -> Note:
        """Which run it was, and whether it was sent as it went."""
        return Note.of(run, self._folder, sent=self._mode == "online")

    @property
    def opens_at_start(self) -> bool:
        """Whether a run shows while its cell runs."""
        return self._mode == "online"


class WandbCell:
    """The run of one cell."""

    def __init__(self, tracker: WandbTracker, name: str, experiment: Experiment) -> None:
        self._tracker = tracker
        self._name = name
        self._experiment = experiment
        self._run = tracker.open(name, experiment) if tracker.opens_at_start else None

    def stage(self, name: str, seconds: float) -> None:
        if self._run is not None:
            self._run.log({f"seconds/{name}": seconds})

    def finish(self, record: Record, folder: Path, probe: "Probe | None") -> None:
        run = self._run or self._tracker.open(self._name, self._experiment)
        self._run = run
        log_record(run, record, folder, probe)
        self._run = None
        self._tracker.note(run).save(folder)

    def close(self) -> None:
        if self._run is not None:
            self._run.finish(exit_code=1)
            self._run = None
