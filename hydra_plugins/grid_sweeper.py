"""Hydra's way to many cells: every combination of what was asked for."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from surgery.errors import InputError
from sweeps.config.key_types import type_in
from sweeps.config.written_values import as_written

if TYPE_CHECKING:
    from hydra_plugins.resident_launcher import ExecutorLauncher


class CellSweeper(Sweeper):
    """Reads what is to be swept and hands cells to one of our launchers; writes nothing where the user stands.

    Args:
        params: overrides by key that stand before those of the command line.
    """

    def __init__(self, params: Mapping[str, Any] | None) -> None:
        self._params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config: DictConfig = config
        self._loader = hydra_context.config_loader
        launcher: Any = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        # Not isinstance: Hydra runs every plugin's module once more as it looks for plugins, so classes are doubled.
        if not hasattr(launcher, "make_executor"):
            name = config.hydra.runtime.choices.get("hydra/launcher")
            raise InputError(f"hydra/launcher={name} can't run cells; choose resident, resident_slurm or resident_ray")
        self.launcher: ExecutorLauncher = launcher

    def overrides(self, arguments: Sequence[str]) -> list[Override]:
        """What is asked for, parsed; for a key that is given twice the last counts.

        Raises:
            InputError: for a key that is swept over nothing.
        """
        given = [*self.parsed(self._params), *self._parser().parse_overrides(list(arguments))]
        found = list({override.get_key_element(): override for override in given}.values())
        for override in found:
            if override.is_discrete_sweep() and next(override.sweep_string_iterator(), None) is None:
                options = self._loader.get_group_options(override.key_or_group)
                there = f"; there are {', '.join(options)}" if options else ""
                raise InputError(f"{override.input_line} stands for no value{there}")
        return found

    def parsed(self, params: Mapping[str, Any]) -> list[Override]:
        """What a config has as {key: value or values}."""
        written = [f"{key}={'null' if value is None else value}" for key, value in params.items()]
        texts = [as_written(one, lambda key: type_in(self.config, key), may_sweep=True) for one in written]
        return self._parser().parse_overrides(texts)

    def _parser(self) -> OverridesParser:
        return OverridesParser.create(config_loader=self._loader)


class GridSweeper(CellSweeper):
    """The product of all values, planned as one."""

    def sweep(self, arguments: list[str]) -> None:
        [jobs] = BasicSweeper.split_arguments(self.overrides(arguments), max_batch_size=None)
        self.launcher.launch(jobs, initial_job_idx=0)


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="grid",
    node={"_target_": "hydra_plugins.grid_sweeper.GridSweeper", "params": None},
    provider="llm-surgery",
)
