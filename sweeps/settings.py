"""From a composed Hydra config to validated settings: one sentence for whatever is wrong."""

import re
from difflib import get_close_matches
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from surgery.errors import InputError
from sweeps.cell import Settings

RUN_KEYS = (
    "output_dir",
    "sweep",
    "quick",
    "dry_run",
    "fail_fast",
    "retry_failed",
    "strict",
    "trust_checkpoint",
    "tracking",
    "evaluation",
    "experiment",
    "variant",
)
CELL_GROUPS = ("model", "behavior", "probe", "region", "method")
CELL_KEYS = ("layer", "top_k", "alpha", "alpha_unit", "seed", "composition")

# What is possible, where a type's own words would not tell a person enough.
POSSIBLE = {
    "alpha": "it is any finite number but 0",
    "top_k": "it is a whole number from 1",
    "layer": "it is 1 to the number of layers, or first, middle, last_but_one, last",
    "seed": "it is a whole number from 0",
    "probe.test_share": "it is a share between 0 and 1",
}


def unknown_key(key: str, known: list[str], prefix: str = "") -> InputError:
    """The error for a key that does not exist, with the nearest that does."""
    near = get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean '{prefix}{near[0]}'?" if near else f"there are {', '.join(prefix + k for k in sorted(known))}"
    return InputError(f"unknown key '{prefix}{key}'; {hint}")


def plain(config: DictConfig) -> dict[str, Any]:
    """The config with everything in ${...} filled in, as plain containers.

    Raises:
        InputError: when a key that has no default was not given.
    """
    ours = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    try:
        container = OmegaConf.to_container(ours, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        first = str(error).splitlines()[0]
        if missing := re.search(r"Missing mandatory value: ([\w.]+)", first):
            # The key itself, or the one that an interpolation asked for.
            key = str(error.full_key) if str(error.full_key).endswith(f".{missing[1]}") else missing[1]
            raise InputError(f"{key} is not given; say {key}=...") from None
        raise InputError(f"{error.full_key}: {first}") from None
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def read_settings(values: dict[str, Any]) -> Settings:
    """The settings of one experiment, each valid by itself.

    Args:
        values: the config as plain containers, with every key of conf/config.yaml.

    Raises:
        InputError: for an unknown key or a value that is not possible.
    """
    known = [*CELL_GROUPS, *CELL_KEYS, *RUN_KEYS]
    for key in values:
        if key not in known:
            raise unknown_key(key, known)
    try:
        return Settings(**{key: values[key] for key in (*CELL_GROUPS, *CELL_KEYS) if key in values})
    except ValidationError as error:
        raise _sentence(error, values) from None


def _sentence(error: ValidationError, values: dict[str, Any]) -> InputError:
    first = error.errors()[0]
    path: list[str] = []
    value: Any = values
    for part in first["loc"]:
        if not isinstance(value, dict):
            break
        if part not in value:
            break
        path.append(str(part))
        value = value[part]
    key = ".".join(path)
    if first["type"] == "unexpected_keyword_argument":
        prefix = "".join(f"{part}." for part in path[:-1])
        return unknown_key(path[-1], list(_fields(path[0])), prefix)
    if first["type"] == "missing":
        return InputError(f"{'.'.join(map(str, first['loc']))} is not given")
    possible = POSSIBLE.get(key) or str(first["msg"]).removeprefix("Value error, ").replace("Input should be", "it is")
    return InputError(f"{key}={value} is not possible: {possible}")


def _fields(group: str) -> list[str]:
    annotation: Any = Settings.__dataclass_fields__[group].type
    return list(annotation.__dataclass_fields__)
