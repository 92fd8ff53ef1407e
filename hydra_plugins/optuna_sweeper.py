"""Hydra's way to the search: cells are asked for one after another, by Optuna."""

from typing import Any

from hydra.core.config_store import ConfigStore

from hydra_plugins.grid_sweeper import CellSweeper


class OptunaSweeper(CellSweeper):
    """Searches; the keys are those of `sweeps.search.search.SearchSettings`, `params` and `when` of its space."""

    def __init__(self, params: Any, when: Any, **settings: Any) -> None:
        super().__init__(params)
        self._when = when
        self._settings = settings

    def sweep(self, arguments: list[str]) -> None:
        from sweeps.commands.search_command import search

        search(self.overrides(arguments), self._when, self._settings, self._loader, self.config, self.launcher)


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="optuna",
    node={
        "_target_": "hydra_plugins.optuna_sweeper.OptunaSweeper",
        "params": None,
        "when": None,
        "n_trials": 24,
        "directions": None,
        "where": None,
        "sampler": "tpe",
        "seed": 0,
        "startup": None,
        "batch": 1,
        "prune": True,
    },
    provider="llm-surgery",
)
