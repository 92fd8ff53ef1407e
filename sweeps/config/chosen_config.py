"""The config that a command chooses, before any key is set: which keys there are, and what type each is of."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig
from omegaconf.errors import OmegaConfBaseException

from surgery.errors import InputError
from sweeps.config.key_types import TARGET, declared_type, parameters, type_in
from sweeps.config.read_settings import KeyIsWrong, unknown_key
from sweeps.config.written_values import quoted


class ChosenConfig:
    """Of one command; composed when it is first asked for.

    Args:
        overrides: of the command.
        config_dir: of its `--config-dir`.
    """

    def __init__(self, overrides: Sequence[str], config_dir: str | None = None) -> None:
        self._overrides = tuple(overrides)
        self._config_dir = None if config_dir is None else str(Path(config_dir).absolute())

    def type_of(self, key: str) -> Any:
        """The type of a key; None where nothing tells, or the groups that are asked for can't be composed."""
        if (declared := declared_type(key)) is not None:
            return declared
        try:
            return type_in(self.composed(), key)
        except (HydraException, OmegaConfBaseException, InputError):
            return None  # Hydra is about to say what is wrong with them

    def composed(self) -> DictConfig:
        """With its groups chosen; of a sweep over a group, the first.

        Raises:
            HydraException, OmegaConfBaseException, InputError: when they can't be composed.
        """
        return _composed(self._overrides, self._config_dir)

    def first_cell(self) -> DictConfig:
        """The whole config with every key set; of a sweep the first cell.

        Raises:
            HydraException, OmegaConfBaseException, InputError: when it can't be composed.
        """
        GlobalHydra.instance().clear()
        with initialize_config_module("conf", version_base="1.3"):
            return compose("config", [*_found_in(self._config_dir), *map(_first, self._overrides)])

    def options(self) -> dict[str, list[str]]:
        """The groups there are, and what may be chosen of each; those within a group stand after it."""
        return _options(self._config_dir)

    def explain(self, key: str) -> KeyIsWrong:
        """Why Hydra does not know a key, and what would be right."""
        node: Any = self.composed()
        *parents, last = key.split(".")
        prefix = ""
        for parent in parents:
            inside = node.get(parent, None) if isinstance(node, DictConfig) else None
            if isinstance(inside, ListConfig):
                whole = f"{prefix}{parent}"
                return KeyIsWrong(f"{key} is a part of a list; write the whole list, {whole}=[...]", key)
            if not isinstance(inside, DictConfig):
                return self._unknown(parent, node, prefix, key)
            node, prefix = inside, f"{prefix}{parent}."
        return self._unknown(last, node, prefix, key)

    def _unknown(self, name: str, node: DictConfig, prefix: str, key: str) -> KeyIsWrong:
        full = f"{prefix}{name}"
        if name in node:
            value = "null" if node[name] is None else node[name]
            return KeyIsWrong(f"{full}={value} has no parts, so '{key}' can't be set; write {full}=VALUE", key)
        if TARGET in node and name in parameters(node[TARGET]):
            return KeyIsWrong(
                f"{key} has the default of {node[TARGET]} and stands in no config; write +{key}=VALUE to set it", key
            )
        there = [str(one) for one in node if one != TARGET] + ([] if prefix else ["experiment"])
        if TARGET in node:
            there = list(dict.fromkeys([*there, *(one for one in parameters(node[TARGET]) if one != "return")]))
        if others := _options_with(prefix.rstrip("."), name):
            chosen = [f"{prefix.rstrip('.')}={option}" for option in others]
            return KeyIsWrong(f"unknown key '{full}': {' and '.join(chosen)} have it; choose one of them", full)
        if same := _elsewhere(self.composed(), key):
            return KeyIsWrong(f"unknown key '{full}'; did you mean '{same}'?", full)
        return unknown_key(name, there, prefix)


def _options_with(group: str, name: str) -> list[str]:
    """The options of a group that ships with us whose files have a key."""
    if not group or "." in group:
        return []
    folder = files("conf").joinpath(group)
    return [
        one
        for one in shipped_options(group)
        if name in (yaml.safe_load(folder.joinpath(f"{one}.yaml").read_text("utf-8")) or {})
    ]


def shipped_options(group: str) -> list[str]:
    """The options of a group, or of a folder in one, that ship with us; none where that is no folder of ours."""
    folder = files("conf").joinpath(group)
    return (
        sorted(one.name.removesuffix(".yaml") for one in folder.iterdir() if one.name.endswith(".yaml"))
        if folder.is_dir()
        else []
    )


def _elsewhere(config: DictConfig, key: str) -> str | None:
    """The key of the same last name that stands nearest above a key: evaluation.limit for evaluation.x.y.limit."""
    *parents, last = key.split(".")
    for length in range(len(parents) - 1, 0, -1):
        node: Any = config
        for parent in parents[:length]:
            node = node.get(parent, None) if isinstance(node, DictConfig) else None
        if isinstance(node, DictConfig) and last in node:
            return ".".join([*parents[:length], last])
    return None


@lru_cache(maxsize=4)
def _composed(overrides: tuple[str, ...], config_dir: str | None) -> DictConfig:
    found = _found_in(config_dir)
    GlobalHydra.instance().clear()
    with initialize_config_module("conf", version_base="1.3"):
        keys = {override: override.split("=", 1)[0].lstrip("+") for override in overrides}
        groups = _groups_among(keys.values(), found)
        chosen = [_first(override) for override, key in keys.items() if key in groups]
        # Which keys a launcher or a sweeper has depends on which it is.
        return compose("config", [*found, *chosen], return_hydra_config=True)


@lru_cache(maxsize=4)
def _options(config_dir: str | None) -> dict[str, list[str]]:
    found = _found_in(config_dir)
    GlobalHydra.instance().clear()
    with initialize_config_module("conf", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()

        def named(parent: str, kind: ObjectType) -> list[str]:
            return loader.get_group_options(parent, kind, config_name="config", overrides=found)

        def below(parent: str) -> Iterator[tuple[str, list[str]]]:
            for name in named(parent, ObjectType.GROUP):
                group = f"{parent}/{name}" if parent else name
                if group != "hydra":
                    yield group, named(group, ObjectType.CONFIG)
                    yield from below(group)

        return {group: options for group, options in below("") if options}


def _found_in(config_dir: str | None) -> list[str]:
    """What has Hydra look in a person's folder too."""
    return [f"hydra.searchpath=[{quoted(f'file://{config_dir}')}]"] if config_dir else []


def _groups_among(keys: Iterable[str], overrides: list[str]) -> set[str]:
    """Which keys are groups; each folder is asked once, since Hydra reads all of its search path for every question."""
    loader = GlobalHydra.instance().config_loader()
    parents = {key.rpartition("/")[0] for key in keys}
    return {
        f"{parent}/{name}" if parent else name
        for parent in parents
        for name in loader.get_group_options(parent, ObjectType.GROUP, config_name="config", overrides=overrides)
    }


def _first(override: str) -> str:
    """A choice of a group; of several, the first."""
    # What `glob(...)` stands for the loader knows.
    loader = GlobalHydra.instance().config_loader()
    [parsed] = OverridesParser.create(config_loader=loader).parse_overrides([override])
    if not parsed.is_sweep_override():
        return override
    return next((f"{parsed.get_key_element()}={value}" for value in parsed.sweep_string_iterator()), override)
