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

# Hydra's flags that take a word, and those that take a path or a name.
WITH_WORD = ("--cfg", "-c", "--info", "-i", "--experimental-rerun")
WITH_VALUE = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--package", "-p")


_GOALS, _WHERE = ("evaluation.choose.minimize", "evaluation.choose.maximize"), "evaluation.choose.where"


def completed(arguments: Sequence[str]) -> list[str]:
    """The arguments as Hydra wants them: flags first, overrides together, texts quoted, implied groups added.

    `model=local` is added where `model.path=` stands without `model=`, and the like.

    Raises:
        InputError: when an argument is not UTF-8, a flag is none of Hydra's, or `--config-dir` names no folder.
    """
    flags, overrides = parted(arguments)
    require_known(flags)
    overrides = _with_rule(overrides)
    given = keys_of(overrides)
    implied = [f"{group}={option}" for key, (group, option) in IMPLIED.items() if key in given and group not in given]
    chosen = ChosenConfig([*overrides, *implied], config_dir(flags))
    # An experiment may be a sweep without anyone saying -m.
    may_sweep = not {"-m", "--multirun"}.isdisjoint(flags) or not given.keys().isdisjoint({"experiment", "hydra.mode"})
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


def require_known(flags: Sequence[str]) -> None:
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
        elif (argument[:1] == "~" and argument[1:2] != "/") or ("=" in argument and not argument.startswith("-")):
            overrides.append(argument)
        else:
            flags.append(argument)
    return flags, overrides


def parted_names(flags: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags with their values, and what is neither flag nor KEY=VALUE: names of a model and files."""
    kept: list[str] = []
    names: list[str] = []
    rest = iter(flags)
    for flag in rest:
        if flag.startswith("-"):
            kept += [flag, *(islice(rest, 1) if flag in (*WITH_VALUE, *WITH_WORD) else ())]
        else:
            names.append(flag)
    return kept, names


def without_names(line: str) -> str:
    """A line that a shell wants completed, without the names that Hydra's completion takes for mistakes."""
    program, *words = line.split(" ")
    return " ".join([program, *(word for word in words[:-1] if "=" in word or word[:1] in ("-", "~")), *words[-1:]])


def keys_of(overrides: Sequence[str]) -> dict[str, str]:
    """{key or group: what stands behind the equals sign}, the last that was typed."""
    return {key.lstrip("+"): value for key, _, value in (override.partition("=") for override in overrides)}


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
