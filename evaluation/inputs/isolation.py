"""Calls into other libraries that leave no trace: the global random state as it was, nothing printed."""

import io
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr

import numpy as np

_LOUD = ("lm_eval", "datasets", "transformers", "huggingface_hub", "httpx", "filelock", "ContinuousBatchingLogger")


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Puts back the state of `random`, numpy's global generator and torch's on every device."""
    import torch

    python, numpy_state = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count())
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)


@contextmanager
def quiet(progress: bool = False) -> Iterator[None]:
    """Silences the progress bars, warnings and loggers of the libraries that measure; errors are raised as ever.

    Import a library before calling it in here: one that sets up its logging meanwhile would stay silent.

    Args:
        progress: let the bars through.
    """
    levels = {name: logging.getLogger(name).level for name in _LOUD}
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        # lm-eval's and datasets' bars have no switch that reaches all of them; they write to stderr.
        with nullcontext() if progress else redirect_stderr(io.StringIO()):
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
