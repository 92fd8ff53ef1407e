"""Seconds a stage."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter


class Stopwatch:
    """Takes the time of named stages; a stage that comes again adds up.

    Args:
        on_end: called with the name and the seconds of a stage each time it ends.
    """

    def __init__(self, on_end: Callable[[str, float], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._on_end = on_end

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start
        self._on_end(name, self.seconds[name])
