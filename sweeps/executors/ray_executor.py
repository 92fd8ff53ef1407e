"""Groups of cells as tasks of a Ray cluster, or of a Ray started on this machine for the time of the command."""

import os
import sys
from collections.abc import Sequence
from contextlib import chdir
from importlib import import_module
from pathlib import Path
from typing import Any

from surgery.errors import InputError
from surgery.files.temporary_folder import TemporaryFolder
from sweeps.executors.job import Job, run_job
from sweeps.executors.protocol import require_whole
from sweeps.executors.remote import Remote

# How long a task may take to drop its cell before its process is killed, in seconds.
GRACE = 10.0


class RayExecutor(Remote):
    """Runs cells in tasks of Ray.

    Args:
        address: of a cluster (`auto`, `ray://HOST:PORT`, `HOST:PORT`); `local` starts Ray here and ends it again.
        cpus_per_worker, gpus_per_worker: what a task reserves; Ray shows it these GPUs only.
        cells_per_job: most cells in a task.

    Raises:
        InputError: for a value that is not possible, and where Ray is not there or its cluster does not answer.
    """

    def __init__(
        self,
        address: str = "local",
        cpus_per_worker: int = 1,
        gpus_per_worker: int = 0,
        cells_per_job: int = 20,
    ) -> None:
        super().__init__("Ray", cells_per_job, state_every=0.0)
        require_whole("cpus_per_worker", cpus_per_worker, 1)
        require_whole("gpus_per_worker", gpus_per_worker, 0)
        try:
            ray: Any = import_module("ray")
        except ImportError:
            raise InputError("hydra/launcher=resident_ray needs ray; pip install 'llm-surgery[ray]'") from None
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            # Ray puts the folder that it is started in on the path of every task, before the packages.
            with chdir(sys.prefix):
                context = ray.init(
                    address=address,
                    include_dashboard=False if address == "local" else None,
                    log_to_driver=False,
                    logging_level="ERROR",
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(f"hydra.launcher.address={address}: Ray does not answer there: {first}") from None
        self._session: TemporaryFolder | None = None
        if address == "local":
            # A Ray of our own keeps its logs in a folder that it never removes.
            self._session = TemporaryFolder.adopted(Path(context.address_info["session_dir"]))
        self._ray = ray
        self._needs = {"CPU": cpus_per_worker, "GPU": gpus_per_worker}
        if not self.slots:
            there = ray.cluster_resources()
            ray.shutdown()
            raise InputError(
                f"hydra.launcher asks for {cpus_per_worker} processors and {gpus_per_worker} GPUs a worker; "
                f"Ray has {there.get('CPU', 0):.0f} and {there.get('GPU', 0):.0f}"
            )
        # A process a task: what a task leaves on a GPU goes with it. Whether one is run again is not Ray's to say.
        self._task = ray.remote(
            num_cpus=cpus_per_worker, num_gpus=gpus_per_worker, max_retries=0, max_calls=1, name="surgery"
        )(run_job)

    @property
    def slots(self) -> int:
        there = self._ray.cluster_resources()
        return min(int(there.get(what, 0) // count) for what, count in self._needs.items() if count)

    def _send(self, folder: Path, jobs: Sequence[Job]) -> list[Any]:
        return [self._task.remote(job) for job in jobs]

    def _ended_jobs(self, handles: Sequence[Any]) -> dict[Any, str]:
        ready, _ = self._ray.wait(list(handles), num_returns=len(handles), timeout=0)
        ended = {}
        for task in ready:
            try:
                self._ray.get(task)
                ended[task] = "its Ray task ended without it"
            except self._ray.exceptions.RayError as error:
                lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
                ended[task] = f"its Ray task ended with {type(error).__name__}: {lines[0]}"
        return ended

    def _cancel(self, handles: Sequence[Any]) -> None:
        for task in handles:
            self._ray.cancel(task)  # an interrupt: the cell in flight cleans up after itself
        _, left = self._ray.wait(list(handles), num_returns=len(handles), timeout=GRACE)
        for task in left:
            self._ray.cancel(task, force=True)

    def close(self) -> None:
        super().close()
        if self._ray.is_initialized():
            self._ray.shutdown()
        if self._session is not None:
            self._session.close()
