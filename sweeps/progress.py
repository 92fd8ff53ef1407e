"""What a person sees while cells run: one line a cell, the stage that is running, and what is left."""

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import mean
from time import perf_counter

from rich.console import Console

from sweeps.records import Record
from sweeps.tables import change, headline_metrics

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


class Progress:
    """Lines on a console as cells end.

    Args:
        console: where to.
        total: cells of the command, finished ones included.
        finished: cells that were finished before.
    """

    def __init__(self, console: Console, total: int, finished: int) -> None:
        self._console = console
        self._total = total
        self._place = finished
        self._own: list[float] = []
        self._seconds = 0.0
        self._label = ""

    @contextmanager
    def cell(self, label: str) -> Iterator[None]:
        """For the time a cell runs."""
        self._place += 1
        self._label = f"[{self._place}/{self._total}] {label}"
        start = perf_counter()
        self._passing_line(NEXT_STAGE["start"])
        try:
            yield
        finally:
            self._passing_line("")
            self._seconds = perf_counter() - start

    def stage(self, name: str, seconds: float) -> None:
        """A stage of the running cell ended."""
        self._passing_line(NEXT_STAGE.get(name, ""))
        if not self._console.is_terminal and seconds >= LONG_STAGE:
            self._console.print(f"{self._label}: {name} took {duration(seconds)}", markup=False)

    def ended(self, record: Record) -> None:
        """The running cell ended, well or not."""
        if record.status == "done":
            shown = headline_metrics([record])[:3]
            outcome = ", ".join(f"{name} {change(record.metrics[name])}" for name in shown) or "done"
        else:
            outcome = f"{record.status}: {record.error}"
        left = self._total - self._place
        # What cells share is paid by the first; only what each one does itself tells of those to come.
        self._own.append(sum(record.seconds.get(stage, 0.0) for stage in OWN_STAGES) or self._seconds)
        rest = f", about {duration(left * mean(self._own))} left" if left else ""
        style = None if record.status == "done" else "red"
        self._console.print(f"{self._label}: {outcome} ({duration(self._seconds)}{rest})", markup=False, style=style)

    def _passing_line(self, text: str) -> None:
        """Says what runs now, on a line of the terminal that the next bar or line takes over."""
        if self._console.is_terminal:
            shown = f"{self._label}: {text}"[: self._console.width - 1] if text else ""
            self._console.file.write(f"\r\x1b[2K{shown}")
            self._console.file.flush()
