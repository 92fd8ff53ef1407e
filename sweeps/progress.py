"""What a person sees while cells run: one line a cell, the stage that is running, what is left, the best so far."""

from dataclasses import dataclass, field
from statistics import mean
from time import perf_counter

from rich.console import Console

from sweeps.degenerate import sound
from sweeps.headlines import headline_metrics
from sweeps.plan import Plan
from sweeps.protocols import by_protocol
from sweeps.records import Record
from sweeps.tables import change

# Without a terminal to redraw, a stage is told once it took this many seconds.
LONG_STAGE = 20.0
# The stages that no other cell shares.
OWN_STAGES = ("region", "edited", "record")
NEXT_STAGE = {
    "start": "loading the model",
    "model": "hidden states and probe",
    "probe": "ranking rows",
    "region": "measuring the base",
    "base": "measuring the edit",
    "edited": "writing the record",
}


def duration(seconds: float) -> str:
    """`8 s`, `3 min`, `2 h 5 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


@dataclass
class _Running:
    label: str
    since: float = field(default_factory=perf_counter)
    stage: str = NEXT_STAGE["start"]


class Progress:
    """Lines on a console as cells end.

    Args:
        console: where to.
        total: cells of the command, finished ones included.
        finished: cells that were finished before.
        slots: how many cells run at once.
    """

    def __init__(self, console: Console, total: int, finished: int, slots: int = 1) -> None:
        self._console = console
        self._total = total
        self._ended = finished
        self._slots = slots
        self._failed = 0
        self._own: list[float] = []
        self._running: dict[str, _Running] = {}
        self._done: dict[str, Record] = {}

    def finished(self, count: int) -> None:
        """Says how many cells had ended before."""
        self._ended = count

    def started(self, cell: str, label: str) -> None:
        """A cell runs now."""
        self._running[cell] = _Running(label)
        self._passing_line()

    def stage(self, cell: str, name: str, seconds: float) -> None:
        """A stage of a running cell ended."""
        running = self._running.get(cell)
        if running is None:
            return
        running.stage = NEXT_STAGE.get(name, "")
        self._passing_line()
        if not self._console.is_terminal and seconds >= LONG_STAGE:
            self._console.print(f"{running.label}: {name} took {duration(seconds)}", markup=False)

    def say(self, text: str, style: str | None = "yellow") -> None:
        """Something to be read while cells run."""
        self._clear()
        self._console.print(text, markup=False, style=style)
        self._passing_line()

    def lost(self, cell: str, text: str) -> None:
        """What ran a cell is gone."""
        self._running.pop(cell, None)
        self.say(text)

    def ended(self, record: Record, plan: Plan) -> None:
        """A cell ended, well or not."""
        running = self._running.pop(record.cell, None)
        seconds = perf_counter() - running.since if running else 0.0
        self._ended += 1
        self._failed += record.status == "failed"
        if record.status == "done":
            self._done[record.cell] = record
            shown = headline_metrics([record])[:3]
            outcome = ", ".join(f"{name} {change(record.metrics[name])}" for name in shown) or "done"
        else:
            outcome = f"{record.status}: {record.error}"
        if running:
            # What cells share is paid by the first; only what each one does itself tells of those to come.
            self._own.append(sum(record.seconds.get(stage, 0.0) for stage in OWN_STAGES) or seconds)
        told = [duration(seconds) if running else "by another command", *self._whole(plan)]
        line = f"[{self._ended}/{self._total}] {plan.label(record.cell)}: {outcome} ({', '.join(told)})"
        self.say(line, "red" if record.status == "failed" else None)

    def close(self) -> None:
        """Leaves the terminal as the last line left it."""
        self._running.clear()
        self._clear()

    def _whole(self, plan: Plan) -> list[str]:
        """How the whole of it stands: failed, running, best so far, time left."""
        left = self._total - self._ended
        told = [f"{self._failed} failed"] if self._failed else []
        alike = len(by_protocol(list(self._done.values()))) == 1
        if left > 0 and len(self._done) > 1 and alike and plan.choice is not None:
            best = plan.choice.pick((record.cell, record.metrics) for record in sound(self._done.values()))
            told += [f"best so far {best}"] if best else []
        if left > 0 and self._slots > 1:
            told.append(f"{len(self._running)} running")
        if left > 0 and self._own:
            told.append(f"about {duration(left * mean(self._own) / self._slots)} left")
        return told

    def _passing_line(self) -> None:
        """Says what runs now, on a line of the terminal that the next bar or line takes over."""
        if not self._console.is_terminal or not self._running:
            return
        place = f"[{self._ended + 1}/{self._total}]"
        shown = "; ".join(f"{running.label}: {running.stage}" for running in self._running.values())
        self._clear()
        print(f"\r{place} {shown}"[: self._console.width], end="", file=self._console.file, flush=True)

    def _clear(self) -> None:
        if self._console.is_terminal:
            print("\r\x1b[K", end="", file=self._console.file, flush=True)
