"""What a person sees while cells run: one line a cell, the stage that is running, what is left, the best so far."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import mean
from time import perf_counter
from typing import Any

from rich.console import Console

from surgery.errors import InputError
from sweeps.plan.plan import Plan
from sweeps.records.choice import Choice
from sweeps.records.metric import selected
from sweeps.records.numbers import change, number
from sweeps.records.record import Record
from sweeps.results.best_cell import choose
from sweeps.results.headlines import headline_metrics
from sweeps.results.pooling import Pooled
from sweeps.results.protocols import by_protocol

_log = logging.getLogger(__name__)

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
        slots: how many cells run at once.
    """

    def __init__(self, console: Console, total: int, slots: int = 1) -> None:
        self._console = console
        self._total = total
        self._ended = 0
        self._slots = slots
        self._failed = 0
        self._own: list[float] = []
        self._running: dict[str, _Running] = {}
        self._done: dict[str, Record] = {}
        self._pooled: dict[Any, Pooled] = {}

    def finished(self, count: int, records: Iterable[Record]) -> None:
        """Says how many cells had ended before, and which of those there are can be the best so far."""
        self._ended = count
        self._done |= {record.cell: record for record in records if record.status == "done"}

    def started(self, cell: str, label: str) -> None:
        """A cell runs now."""
        _log.debug("%s begins", label)
        self._running[cell] = _Running(label)
        self._passing_line()

    def stage(self, cell: str, name: str, seconds: float) -> None:
        """A stage of a running cell ended."""
        running = self._running.get(cell)
        if running is None:
            return
        _log.debug("%s: %s took %.2f s", running.label, name, seconds)
        running.stage = NEXT_STAGE.get(name, "")
        self._passing_line()
        if self._console.is_terminal:
            return
        if seconds >= LONG_STAGE:
            self._console.print(f"{running.label}: {name} took {duration(seconds)}", markup=False)
        # The stage that can take longest; the cells to come find the base measured.
        if name == "region" and not self._own:
            self._console.print(f"{running.label}: {running.stage}", markup=False)

    def say(self, text: str, style: str | None = "yellow") -> None:
        """Something to be read while cells run."""
        _log.info("%s", text)
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
            outcome = _outcome(record, plan) or "done"
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
            told += self._best(plan.choice, plan)
        if left > 0 and self._slots > 1:
            told.append(f"{len(self._running)} running")
        if left > 0 and self._own:
            told.append(f"about {duration(left * mean(self._own) / self._slots)} left")
        return told

    def _best(self, choice: Choice, plan: Plan) -> list[str]:
        """The best so far with the number it is compared by, as the end of the command would choose it."""
        try:
            best = choose(list(self._done.values()), choice, plan.sweep_folder, self._pooled).best
        except InputError:
            return []  # samples that are missing are told at the end, when all that can be has been run
        metric = selected(best.metrics, choice.metric) if best is not None else None
        if best is None or metric is None:
            return []
        return [f"best so far {'+'.join(best.cells)} with {metric.key} {number(metric.edited)}"]

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


def _outcome(record: Record, plan: Plan) -> str:
    """How large a step a cell was, and what it changed by the numbers that cells are compared by: the selection half's,
    where there is one.
    """
    names = headline_metrics([record])
    if plan.choice is not None and plan.choice.metric in record.metrics:
        names = list(dict.fromkeys([plan.choice.metric, *names]))
    shown = [selected(record.metrics, name) for name in names[:3]]
    told = [] if record.step is None else [f"step {record.step:.3g}"]
    return ", ".join([*told, *(f"{metric.key} {change(metric)}" for metric in shown if metric is not None)])
