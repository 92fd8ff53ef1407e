"""This machine as an executor."""

import sys

from sweeps.executors.protocol import Executor
from sweeps.executors.worker_pool import Workers, visible_gpus, worker_environments


def local_executor(workers: int | None, gpus_per_worker: int) -> Executor:
    """This machine: worker processes, or with `workers=0` this process.

    Raises:
        InputError: when there are fewer GPUs than that needs.
    """
    bars = _is_terminal()
    if workers == 0:
        from sweeps.executors.in_process import InProcess

        return InProcess(bars)
    environments = worker_environments(workers, gpus_per_worker, visible_gpus())
    return Workers(environments, bars=bars and len(environments) == 1)


def _is_terminal() -> bool:
    return sys.stderr.isatty()
