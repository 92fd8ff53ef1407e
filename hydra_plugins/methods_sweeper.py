"""Hydra's way to methods at an equal price: a search each, with as many cells."""

from collections.abc import Mapping
from typing import Any

from hydra.core.config_store import ConfigStore

from hydra_plugins.grid_sweeper import CellSweeper


class MethodsSweeper(CellSweeper):
    """Searches each method of `method=A,B,…`; the keys are those of the search, `n_trials` of each.

    Args:
        params: overrides by key that stand before those of the command line.
        spaces: {method: {key: what it is chosen from}}.
    """

    def __init__(self, params: Any, spaces: Mapping[str, Mapping[str, Any]] | None, **settings: Any) -> None:
        super().__init__(params)
        self._spaces = spaces or {}
        self._settings = settings

    def sweep(self, arguments: list[str]) -> None:
        from sweeps.commands.search_command import search_methods

        spaces = {str(name): self.parsed(space or {}) for name, space in self._spaces.items()}
        search_methods(self.overrides(arguments), spaces, self._settings, self._loader, self.config, self.launcher)


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="methods",
    node={
        "_target_": "hydra_plugins.methods_sweeper.MethodsSweeper",
        "params": None,
        "spaces": {},
        "n_trials": 24,
        "directions": None,
        "where": [],
        "sampler": "tpe",
        "seed": 0,
        "startup": None,
        "batch": 1,
        "prune": True,
    },
    provider="llm-surgery",
)
