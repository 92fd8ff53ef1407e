"""How long a call takes, and a row of what was measured."""

import time
from collections.abc import Callable
from typing import Any


def timed(function: Callable[[], Any]) -> tuple[float, float]:
    """(seconds, seconds of the processor's cores)."""
    start, worked = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start, time.process_time() - worked


def seconds(function: Callable[[], Any], device: str) -> float:
    """Until all that was started on the device is done."""
    import torch

    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    wait()
    start = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - start


def tell(name: str, value: str, note: str = "") -> None:
    """Prints a row of a table in Markdown."""
    print(f"| {name} | {value} | {note} |", flush=True)
