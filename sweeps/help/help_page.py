"""The page of `surgery --help`: the groups and their options, and every key with its default and what it is."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweeps.config.chosen_config import ChosenConfig
from sweeps.config.command_line import config_dir, parted
from sweeps.help.key_comments import key_comments

# Where comments begin, unless a value is longer.
COLUMN = 40
TO_BE_GIVEN, OF_OTHERS = "(to be given)", "(follows from other keys)"


def help_page(arguments: Sequence[str]) -> str:
    """What is shown to `surgery GROUP=OPTION ... --help`: the keys are those of the groups that are chosen.

    Raises:
        HydraException, OmegaConfBaseException, InputError: when these can't be composed.
    """
    flags, overrides = parted(arguments)
    folder = config_dir(flags)
    chosen = ChosenConfig(overrides, folder)
    config = chosen.composed()
    comments = key_comments(config.hydra.runtime.choices, folder)
    groups = [f"{group}: {', '.join(options)}" for group, options in chosen.options().items()]
    ours = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    parts = {
        config.hydra.help.header: [],
        "== Groups, chosen by GROUP=OPTION ==": groups,
        "== Keys, set by KEY=VALUE ==": list(_below(ours, OmegaConf.to_container(ours, resolve=False), "", comments)),
        "== Examples ==": [config.hydra.help.footer.rstrip()],
    }
    return "\n\n".join("\n".join([head, *lines]) for head, lines in parts.items())


def _below(config: DictConfig, values: Any, prefix: str, comments: Mapping[str, str]) -> Iterator[str]:
    indent = "  " * prefix.count(".")
    for name, value in values.items():
        key = f"{prefix}{name}"
        inside = isinstance(value, dict) and bool(value)
        shown = f"{indent}{name}:" if inside else f"{indent}{name}: {_value(config, key)}"
        comment = comments.get(key)
        yield f"{shown:{COLUMN}}# {comment}" if comment else shown
        if inside:
            yield from _below(config, value, f"{key}.", comments)


def _value(config: DictConfig, key: str) -> str:
    """What a key has unless it is set, on one line of YAML."""
    try:
        value = OmegaConf.select(config, key, throw_on_missing=True)
        plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException:
        return TO_BE_GIVEN if OmegaConf.is_missing(_parent(config, key), key.rpartition(".")[2]) else OF_OTHERS
    text = str(yaml.safe_dump(plain, default_flow_style=True, width=10**6, allow_unicode=True))
    return text.removesuffix("...\n").strip()


def _parent(config: DictConfig, key: str) -> Any:
    above = key.rpartition(".")[0]
    return OmegaConf.select(config, above) if above else config
