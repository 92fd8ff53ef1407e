"""Hydra's names for the executors that send groups of cells to a cluster; docs/scaling.md tells what they need."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore

from hydra_plugins.resident_launcher import ExecutorLauncher

if TYPE_CHECKING:
    from sweeps.executors.protocol import Executor


class SlurmLauncher(ExecutorLauncher):
    """Jobs of a SLURM cluster; the keys are those of sweeps.executors.slurm.Slurm."""

    here = False

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def make_executor(self) -> "Executor":
        from sweeps.executors.slurm import Slurm

        return Slurm(**_plain(self._settings))


class RayLauncher(ExecutorLauncher):
    """Tasks of a Ray cluster; the keys are those of sweeps.executors.ray_executor.RayExecutor."""

    here = False

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def make_executor(self) -> "Executor":
        from sweeps.executors.ray_executor import RayExecutor

        return RayExecutor(**_plain(self._settings))


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    from omegaconf import OmegaConf

    return {key: OmegaConf.to_object(v) if OmegaConf.is_config(v) else v for key, v in settings.items()}


ConfigStore.instance().store(
    group="hydra/launcher",
    name="resident_slurm",
    node={
        "_target_": "hydra_plugins.cluster_launchers.SlurmLauncher",
        "partition": None,
        "timeout_min": 240,
        "cpus_per_task": None,
        "mem_gb": None,
        "gpus_per_worker": None,
        "jobs": 16,
        "cells_per_job": 20,
        "workers_per_job": 1,
        "setup": [],
        "additional": {},
    },
    provider="llm-surgery",
)
ConfigStore.instance().store(
    group="hydra/launcher",
    name="resident_ray",
    node={
        "_target_": "hydra_plugins.cluster_launchers.RayLauncher",
        "address": "local",
        "cpus_per_worker": 1,
        "gpus_per_worker": 0,
        "cells_per_job": 20,
    },
    provider="llm-surgery",
)
