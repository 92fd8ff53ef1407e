"""What was typed, as Hydra wants it."""

from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path

from hydra._internal.utils import get_args_parser

from surgery.errors import InputError
from sweeps.config.chosen_config import ChosenConfig
from sweeps.config.written_values import as_written

# A path alone names its group: nobody who gives a model of his own wants the toy world's settings for it.
IMPLIED = {"model.path": ("model", "local"), "behavior.path": ("behavior", "tabular"), "probe.path": ("probe", "file")}

# Hydra's flags that take a value.
WITH_VALUE = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--package", "-p")


_GOALS, _WHERE = ("evaluation.choose.minimize", "evaluation.choose.maximize"), "evaluation.choose.where"


def completed(arguments: Sequence[str]) -> list[str]:
    """The arguments as Hydra wants them: flags first, overrides together, texts quoted, implied groups added.

    `model=local` is added where `model.path=` stands without `model=`, and the like.

    Raises:
        InputError: when an argument is not UTF-8, a flag is none of Hydra's, or `--config-dir` names no folder.
    """
    flags, overrides = parted(arguments)
    _require_known(flags)
    overrides = _with_rule(overrides)
    given = {override.split("=", 1)[0].lstrip("+") for override in overrides}
    implied = [f"{group}={option}" for key, (group, option) in IMPLIED.items() if key in given and group not in given]
    chosen = ChosenConfig([*overrides, *implied], config_dir(flags))
    # An experiment may be a sweep without anyone saying -m.
    may_sweep = not {"-m", "--multirun"}.isdisjoint(flags) or not {"experiment", "hydra.mode"}.isdisjoint(given)
    return [*flags, *(as_written(override, chosen.type_of, may_sweep) for override in overrides), *implied]


def _with_rule(overrides: Sequence[str]) -> list[str]:
    """With what is typed of `evaluation.choose` in the place of what a config says there, whichever keys that has.

    A metric to maximize takes the place of one to minimize, and the other way round.
    """
    keys = [override.partition("=")[0].lstrip("+") for override in overrides]
    typed = [goal for goal in _GOALS if goal in keys]
    instead = [f"++{goal}=null" for goal in _GOALS if goal not in typed] if typed else []
    found = [
        f"++{override.lstrip('+')}" if key in (*_GOALS, _WHERE) else override
        for key, override in zip(keys, overrides, strict=True)
    ]
    return [*found, *instead]


def _require_known(flags: Sequence[str]) -> None:
    """Raises InputError for what begins like a flag and is none of Hydra's, who would print how it is used and end."""
    known = get_args_parser()._option_string_actions
    values = {flag for before, flag in pairwise(flags) if before in WITH_VALUE}
    for flag in flags:
        name = flag.partition("=")[0]
        if flag.startswith("-") and flag not in values and not any(one.startswith(name) for one in known):
            key = name.lstrip("-")
            raise InputError(f"{name} is no flag of `surgery`; keys are set as {key}=VALUE, without dashes")


def parted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags with their values, and overrides."""
    flags: list[str] = []
    overrides: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if not _is_utf8(argument):
            raise InputError(f"{ascii(argument)[1:-1]} is not UTF-8; give the file a name that is")
        if argument in WITH_VALUE:
            flags += [argument, *(str(Path(value).expanduser()) for value in islice(rest, 1))]
        elif argument.startswith("~") or ("=" in argument and not argument.startswith("-")):
            overrides.append(argument)
        else:
            flags.append(argument)
    return flags, overrides


def _is_utf8(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def config_dir(flags: Sequence[str]) -> str | None:
    """The folder that `--config-dir` names."""
    joined = dict(pairwise(flags))
    joined |= dict(flag.split("=", 1) for flag in flags if flag.startswith("--config-dir="))
    folder = joined.get("--config-dir", joined.get("-cd"))
    if folder is not None and not Path(folder).is_dir():
        raise InputError(f"--config-dir '{folder}' is no folder; name one that holds model/, behavior/ and the like")
    return folder
