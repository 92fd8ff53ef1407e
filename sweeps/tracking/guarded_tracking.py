"""Tracking that can fail without costing a result."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.config.wandb_key import without_key
from sweeps.plan.experiment import Experiment
from sweeps.records.record import Record
from sweeps.tracking.tracker import CellTracker, Tracker

if TYPE_CHECKING:
    from surgery.probe.probe import Probe


class GuardedTracking:
    """Follows a cell until tracking fails; then says so, once, and lets the cell go on."""

    def __init__(self, tracker: Tracker, name: str, experiment: Experiment, say: Callable[[str], None]) -> None:
        self._say = say
        self._tracker: CellTracker | None = None
        self._guard(lambda: self._start(tracker, name, experiment))

    def _start(self, tracker: Tracker, name: str, experiment: Experiment) -> None:
        self._tracker = tracker.start(name, experiment)

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
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._say(f"tracking failed for this cell ({without_key(reason)}); its local record is complete")
