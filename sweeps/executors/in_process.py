"""Cells in this process: nothing to replace when it dies, and easy to debug."""

from collections import deque
from collections.abc import Sequence

from sweeps.executors.group_runner import GroupRunner
from sweeps.executors.grouping import by_shared_work
from sweeps.executors.protocol import Event, Listener
from sweeps.plan.plan import Plan


class InProcess:
    """Runs one cell each time it is waited for."""

    slots = 1

    def __init__(self, bars: bool = False) -> None:
        self._on: Listener = lambda event: None
        self._runner = GroupRunner(self._tell, bars)
        self._waiting: deque[tuple[Plan, str]] = deque()

    def submit(self, plan: Plan, cells: Sequence[str]) -> None:
        self._waiting.extend((plan, cell) for cell in by_shared_work(plan, cells))

    def wait(self, on: Listener) -> None:
        if not self._waiting:
            return
        self._on = on
        plan, cell = self._waiting.popleft()
        self._runner.take(plan)
        self._runner.run(cell)

    def close(self) -> None:
        self._waiting.clear()

    def _tell(self, event: Event) -> None:
        self._on(event)
