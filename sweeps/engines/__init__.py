"""What runs cells: this process, worker processes, or a cluster."""

from typing import TYPE_CHECKING, Any

from surgery.errors import InputError

if TYPE_CHECKING:
    from sweeps.engines.protocol import Engine


def local_engine(workers: int | None, gpus_per_worker: int) -> "Engine":
    """This machine: worker processes, or with `workers=0` this process.

    Raises:
        InputError: when there are fewer GPUs than that needs.
    """
    bars = _is_terminal()
    if workers == 0:
        from sweeps.engines.in_process import InProcess

        return InProcess(bars)
    from sweeps.engines.worker_pool import Workers, visible_gpus, worker_environments

    environments = worker_environments(workers, gpus_per_worker, visible_gpus())
    return Workers(environments, bars=bars and len(environments) == 1)


def _is_terminal() -> bool:
    import sys

    return sys.stderr.isatty()


def require_whole(key: str, value: Any, least: int) -> None:
    """Raises InputError unless a launcher's key holds a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"hydra.launcher.{key}={value} is not possible: it is a whole number from {least}")
