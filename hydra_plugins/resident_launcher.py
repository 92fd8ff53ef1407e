"""Hydra's way to the sweep runner: composes the cells and hands them over together."""

from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class ResidentLauncher(Launcher):
    """Runs all cells of a multirun in one process that keeps the model."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._context = hydra_context
        self._config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from sweeps.surgery_command import run_configs

        loader: Any = self._context.config_loader
        run_configs([loader.load_sweep_config(self._config, list(overrides)) for overrides in job_overrides])
        return []


ConfigStore.instance().store(
    group="hydra/launcher",
    name="resident",
    node={"_target_": "hydra_plugins.resident_launcher.ResidentLauncher"},
    provider="llm-surgery",
)
