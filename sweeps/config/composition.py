"""Composing many cells: Hydra once for each choice of groups, values set in place for the rest."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from sweeps.config.model_and_behavior import require_both_halves
from sweeps.config.read_settings import plain


@dataclass(frozen=True)
class Composed:
    """A cell's config as plain containers, and the overrides that made it."""

    values: Mapping[str, Any]
    overrides: tuple[str, ...]

    @classmethod
    def of(cls, config: DictConfig, overrides: Sequence[str] = ()) -> "Composed":
        """From a config that Hydra composed of overrides."""
        return cls(plain(config), tuple(overrides))


def compose_jobs(loader: Any, master: DictConfig, jobs: Sequence[Sequence[str]]) -> list[Composed]:
    """Composes each job as Hydra would.

    Composition costs some 50 ms and filling in what stands in ${...} another 10, and the cells of a grid differ in
    values only. So Hydra composes once for each set of keys and choice of groups, and plain values are then set in
    that config, as Hydra does it last of all; where no ${...} asks for one of these keys, in its plain form.

    Args:
        loader: Hydra's config loader.
        master: the config of the command.
        jobs: overrides of each cell.

    Raises:
        HydraException, OmegaConfBaseException: as Hydra raises them for what can't be composed.
        InputError: see `plain` and `require_both_halves`.
    """
    # As typed: a ${...} in one of them is not to be filled in.
    command: Any = OmegaConf.to_container(master, resolve=False)["hydra"]["overrides"]["task"]  # type: ignore[index,call-overload]
    config_name = OmegaConf.select(master, "hydra.job.config_name", default="config")
    parser = OverridesParser.create(config_loader=loader)
    parsed: dict[str, Override] = {}
    is_group: dict[str, bool] = {}
    is_value: dict[str, bool] = {}
    alike: dict[tuple[str, ...], _Alike] = {}
    checked = set()
    composed = []
    for job in jobs:
        for text in job:
            if text not in parsed:
                parsed[text] = override = parser.parse_override(text)
                name = override.key_or_group
                if name not in is_group:
                    is_group[name] = bool(loader.get_group_options(name))
                is_value[text] = _sets_a_value(override) and not is_group[name]
        key = tuple(parsed[text].key_or_group if is_value[text] else text for text in job)
        if key not in alike:
            alike[key] = _Alike(loader.load_sweep_config(master, list(job)))
        values = {parsed[text].key_or_group: parsed[text].value() for text in job if is_value[text]}
        one = Composed(alike[key].with_values(values), tuple(job))
        halves = (key, one.values["model"]["path"], one.values["behavior"]["path"])
        if halves not in checked:
            require_both_halves(one.values, job, command, loader, config_name)
            checked.add(halves)
        composed.append(one)
    return composed


class _Alike:
    """A composed config in which values are replaced."""

    def __init__(self, config: DictConfig) -> None:
        self._config = config
        self._plain = plain(config)
        self._asked_for = _words_in_interpolations(config)

    def with_values(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The config as plain containers, with a value for each of the keys it was composed with."""
        if any(self._is_asked_for(key) or "${" in str(value) for key, value in values.items()):
            for key, value in values.items():
                OmegaConf.update(self._config, key, value, merge=True)
            return plain(self._config)
        found: Mapping[str, Any] = self._plain
        for key, value in values.items():
            found = _with_value(found, key.split("."), value)
        return found

    def _is_asked_for(self, key: str) -> bool:
        return not self._asked_for.isdisjoint(key.split("."))


def _with_value(container: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy with the value at the path; what is not on the path is shared."""
    first, *rest = path
    return {**container, first: _with_value(container[first], rest, value) if rest else value}


def _words_in_interpolations(config: DictConfig) -> set[str]:
    """Every word in a ${...}: more than the keys that are asked for, never fewer."""
    ours = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    text = OmegaConf.to_yaml(ours, resolve=False)
    return {word for line in text.splitlines() if "${" in line for word in re.findall(r"\w+", line[line.index("${") :])}


def _sets_a_value(override: Override) -> bool:
    """Whether an override sets a plain value; an addition, a deletion or a mapping does not."""
    other = override.is_add() or override.is_force_add() or override.is_delete() or override.package
    return not other and not isinstance(override.value(), dict)
