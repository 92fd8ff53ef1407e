"""What every executor can do, and what it tells of the cells it runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from surgery.errors import InputError
from sweeps.plan.plan import Plan


@dataclass(frozen=True)
class Started:
    """A cell runs now."""

    cell: str


@dataclass(frozen=True)
class StageEnded:
    """A stage of a running cell ended after some seconds."""

    cell: str
    stage: str
    seconds: float


@dataclass(frozen=True)
class Said:
    """Something a person should read while a cell runs."""

    text: str


@dataclass(frozen=True)
class Ended:
    """A cell's record is written, whatever its status."""

    cell: str


@dataclass(frozen=True)
class Busy:
    """Another command runs this cell now."""

    cell: str


@dataclass(frozen=True)
class Lost:
    """What ran a cell is gone, and the cell has no record."""

    cell: str
    reason: str


Event = Started | StageEnded | Said | Ended | Busy | Lost
Listener = Callable[[Event], None]


class Executor(Protocol):
    """Runs the cells of plans somewhere. What counts in the end are the records, never what an executor believes.

    Each submitted cell ends in exactly one of `Ended`, `Busy` and `Lost`.
    """

    @property
    def slots(self) -> int:
        """How many cells run at once."""
        ...

    def submit(self, plan: Plan, cells: Sequence[str]) -> None:
        """Takes cells of a plan, by id. Returns at once; may be called again, also with another plan."""
        ...

    def wait(self, on: Listener) -> None:
        """Blocks until at least one thing happened or a second or so has passed, and tells each thing that did."""
        ...

    def close(self) -> None:
        """Ends everything that still runs; a cell in flight leaves nothing half. Harmless when called twice."""
        ...


def require_whole(key: str, value: Any, least: int) -> None:
    """Raises InputError unless a launcher's key holds a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"hydra.launcher.{key}={value} is not possible: it is a whole number from {least}")
