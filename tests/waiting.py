"""Waiting for what other processes do."""

import time
from collections.abc import Callable


def wait_for(what: Callable[[], bool], seconds: float = 90) -> None:
    """Until something holds; fails where it does not in time."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
