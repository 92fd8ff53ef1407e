"""An experiment is of a model and a behavior; who gives one of them is never given the toy world's for the other."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hydra.types import RunMode

from surgery.errors import InputError
from sweeps.config.resolvers import ships_with_us

# Ranges of a sweep may be given below this key too.
_PARAMS = "hydra.sweeper.params."
_MISSING = {
    "model": (
        "model.path is not given, and behavior '{other}' would be tried on the toy world's model; say "
        "model.path=FOLDER_OR_HUB_NAME or model=NAME (model={toy} where that is meant)"
    ),
    "behavior": (
        "behavior.path is not given, and model '{other}' would be edited by the toy world's texts; say "
        "behavior.path=TEXTS.csv or behavior=NAME (behavior={toy} where that is meant)"
    ),
}


def require_both_halves(
    values: Mapping[str, Any], overrides: Sequence[str], command: Sequence[str], loader: Any, config_name: str
) -> None:
    """Refuses a cell whose model or behavior is the toy world's for want of another.

    Who names the toy world's half is given it: on the command line, or in a config file together with the other half.
    A shipped experiment's own half is no answer to a command that names the other.

    Args:
        values: the composed config, as plain containers.
        overrides: that it was composed with, those of a file's sweep among them.
        command: those of them that stand on the command line.
        loader, config_name: of Hydra, to see what config files name.

    Raises:
        InputError: naming the key that is missing.
    """
    of_the_toy = [group for group in _MISSING if ships_with_us(values[group]["path"])]
    if len(of_the_toy) != 1:
        return
    [toy] = of_the_toy
    other = "behavior" if toy == "model" else "model"
    named = _keys(command)
    if _names(toy, named):
        return
    if not _names(other, named) and (_names(toy, _keys(overrides)) or toy in _of_files(loader, config_name, overrides)):
        return
    raise InputError(_MISSING[toy].format(toy=values[toy]["name"], other=values[other]["path"]))


def _keys(overrides: Sequence[str]) -> set[str]:
    return {override.partition("=")[0].lstrip("+~").removeprefix(_PARAMS).partition("@")[0] for override in overrides}


def _names(group: str, keys: Collection[str]) -> bool:
    return group in keys or f"{group}.path" in keys


def _of_files(loader: Any, config_name: str, overrides: Sequence[str]) -> set[str]:
    """The groups that a config file, an experiment say, chooses an option of in place of the default."""
    chosen = loader.compute_defaults_list(config_name, list(overrides), RunMode.RUN).overrides.override_metadata
    return {key for key, told in chosen.items() if not told.external_override}
