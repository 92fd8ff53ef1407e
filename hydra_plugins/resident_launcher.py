"""Hydra's way to the sweep runner: all cells of a command are handed over together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sweeps.config.composition import compose_jobs

if TYPE_CHECKING:
    from sweeps.executors.protocol import Executor


class ExecutorLauncher(Launcher):
    """Composes the cells and runs them on an executor; each kind says which."""

    # Whether cells run on this machine, so that what it does not have can be told before any of them does.
    here = True

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.loader: Any = hydra_context.config_loader
        self.config = config

    def make_executor(self) -> "Executor":
        """The executor that runs the cells; raises InputError when it can't be had."""
        raise NotImplementedError

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from sweeps.commands.run_composed import run_composed

        run_composed(compose_jobs(self.loader, self.config, job_overrides), self.make_executor, self.here)
        return []


class ResidentLauncher(ExecutorLauncher):
    """Worker processes on this machine that keep the model.

    Args:
        workers: how many; null: one for every `gpus_per_worker` GPUs, one where there are none; 0: this process.
        gpus_per_worker: how many GPUs each sees.
    """

    def __init__(self, workers: int | None, gpus_per_worker: int) -> None:
        self._workers = workers
        self._gpus_per_worker = gpus_per_worker

    def make_executor(self) -> "Executor":
        from sweeps.executors.local import local_executor

        return local_executor(self._workers, self._gpus_per_worker)


ConfigStore.instance().store(
    group="hydra/launcher",
    name="resident",
    node={
        "_target_": "hydra_plugins.resident_launcher.ResidentLauncher",
        "workers": None,
        "gpus_per_worker": 1,
    },
    provider="llm-surgery",
)
