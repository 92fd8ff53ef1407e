"""Composing many cells: Hydra once for each choice of groups, values set in place for the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from sweeps.settings import plain


@dataclass(frozen=True)
class Composed:
    """A cell's config as plain containers, and the overrides that made it."""

    values: Mapping[str, Any]
    overrides: tuple[str, ...]

    @classmethod
    def of(cls, config: DictConfig) -> "Composed":
        """From a config that Hydra composed; its overrides stand in `hydra.overrides.task`."""
        overrides = OmegaConf.select(config, "hydra.overrides.task", default=[])
        return cls(plain(config), tuple(overrides))


def compose_jobs(loader: Any, master: DictConfig, jobs: Sequence[Sequence[str]]) -> list[Composed]:
    """Composes each job as Hydra would.

    Composition costs some 50 ms, and the cells of a grid differ in values only. So Hydra composes once for each set
    of keys and choice of groups, and plain values are then set in that config, as Hydra does it last of all.

    Args:
        loader: Hydra's config loader.
        master: the config of the command.
        jobs: overrides of each cell.

    Raises:
        HydraException, OmegaConfBaseException: as Hydra raises them for what can't be composed.
    """
    parser = OverridesParser.create(config_loader=loader)
    parsed: dict[str, Override] = {}
    configs: dict[tuple[str, ...], DictConfig] = {}
    composed = []
    for job in jobs:
        for text in job:
            if text not in parsed:
                parsed[text] = parser.parse_override(text)
        values = [parsed[text] for text in job if _is_value(parsed[text], loader)]
        alike = tuple(o.key_or_group if (o := parsed[text]) in values else text for text in job)
        if alike not in configs:
            configs[alike] = loader.load_sweep_config(master, list(job))
        config = configs[alike]
        for override in values:
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        with open_dict(config.hydra):
            config.hydra.overrides.task = list(job)
        composed.append(Composed.of(config))
    return composed


def _is_value(override: Override, loader: Any) -> bool:
    """Whether an override sets a plain value; a group's choice, an addition, a deletion or a mapping does not."""
    return (
        not (override.is_add() or override.is_force_add() or override.is_delete() or override.package)
        and not isinstance(override.value(), dict)
        and not loader.get_group_options(override.key_or_group)
    )
