"""From a composed Hydra config to validated settings: one sentence for whatever is wrong."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, TypedDict, get_type_hints, is_typeddict

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from surgery.changes.alpha import POSSIBLE_ALPHA
from surgery.errors import InputError
from sweeps.cell.settings import Settings


class TrackingSettings(TypedDict, total=False):
    """Keys of `tracking` that are texts; what they may be is said where they are used."""

    kind: str
    mode: str
    project: str | None
    entity: str | None
    group: str | None
    tags: list[str]


class RobustnessSettings(TypedDict, total=False):
    """Keys of `evaluation.robustness`; what they may be is said where they are used."""

    steps: list[int]
    of: list[str] | None
    lr: float
    rank: int
    batch_size: int


class ChoiceSettings(TypedDict, total=False):
    """Keys of `evaluation.choose`; what they may be is said where they are used."""

    minimize: str | None
    maximize: str | None
    where: list[str] | str | None


class EvaluationSettings(TypedDict, total=False):
    """Keys that every evaluation has; those of one are the parameters of its measurements."""

    choose: ChoiceSettings | None
    limit: int | None
    probe_loss: bool
    checksums: str | None
    robustness: RobustnessSettings


class RunSettings(TypedDict):
    """The keys that say where and how cells are run."""

    output_dir: str
    sweep: str
    quick: bool
    dry_run: bool
    suggest: bool
    fail_fast: bool
    retry_failed: bool
    strict: bool
    trust_checkpoint: bool
    tracking: TrackingSettings
    evaluation: EvaluationSettings
    experiment: str | None
    variant: str | None


RUN_KEYS = tuple(RunSettings.__annotations__)
# What a command has once, for all its cells.
CELL_GROUPS = ("model", "behavior", "probe", "region", "method", "engine")
COMMAND_KEYS = ("sweep", "output_dir", "tracking", "dry_run", "suggest", "fail_fast", "retry_failed", "strict")
CELL_KEYS = ("layer", "top_k", "alpha", "alpha_unit", "seed", "composition")

# What is possible, where a type's own words would not tell a person enough.
POSSIBLE = {
    "alpha": POSSIBLE_ALPHA,
    "top_k": "it is a whole number from 1, or a share of the rows below 1",
    "layer": "it is 1 to the number of layers, a share of them below 1, or first, middle, last_but_one, last",
    "seed": "it is a whole number from 0",
    "probe.test_share": "it is a share between 0 and 1",
    "model.date": "it is a date written as YEAR-MONTH-DAY, such as 2024-07-26",
}


class KeyIsWrong(InputError):
    """An InputError about one key, for who knows where that key was set."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


def unknown_key(key: str, known: list[str], prefix: str = "") -> KeyIsWrong:
    """The error for a key that does not exist, with the nearest that does."""
    near = get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean '{prefix}{near[0]}'?" if near else f"there are {', '.join(prefix + k for k in sorted(known))}"
    return KeyIsWrong(f"unknown key '{prefix}{key}'; {hint}", f"{prefix}{key}")


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
        key = _culprit(ours) or str(error.full_key)
        raise KeyIsWrong(f"{key}: {first}", key) from None
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _culprit(config: DictConfig) -> str | None:
    """The key whose own ${...} can't be filled in, rather than one that only asks for it."""
    failing: dict[str, str] = {}
    for key, text in _leaves(OmegaConf.to_container(config, resolve=False)):
        if "${" in text:
            try:
                OmegaConf.select(config, key)
            except OmegaConfBaseException:
                failing[key] = text
    asked = {key: set(re.findall(r"\$\{([\w.]+)\}", text)) for key, text in failing.items()}
    own = [key for key in failing if key in asked[key] or asked[key].isdisjoint(failing)]
    return next(iter([*own, *failing]), None)


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(tree, str):
        yield prefix, tree
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, value in pairs:
        yield from _leaves(value, f"{prefix}.{name}".strip("."))


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
        settings = Settings(**{key: values[key] for key in (*CELL_GROUPS, *CELL_KEYS) if key in values})
    except ValidationError as error:
        raise _sentence(error, values) from None
    for key, annotation in get_type_hints(RunSettings).items():
        try:
            TypeAdapter(dict[str, Any] if is_typeddict(annotation) else annotation).validate_python(values.get(key))
        except ValidationError as error:
            raise _sentence(error, values, key) from None
    return settings


def _sentence(error: ValidationError, values: dict[str, Any], *within: str) -> InputError:
    first = error.errors()[0]
    path: list[str] = []
    value: Any = values
    for part in (*within, *first["loc"]):
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
        missing = ".".join(map(str, first["loc"]))
        return KeyIsWrong(f"{missing} is not given", missing)
    possible = POSSIBLE.get(key) or in_words(first["type"], str(first["msg"]), key, value)
    return KeyIsWrong(f"{key}={value} is not possible: {possible}", key)


def in_words(kind: str, message: str, key: str, value: Any) -> str:
    """What a type of pydantic's errors means to who typed the value."""
    if kind in ("list_type", "sequence_str"):
        return f"it is a list, {key}=[{value}] say"
    known = {"int": "it is a whole number", "float": "it is a number", "bool": "it is true or false"}
    if kind.endswith(("_parsing", "_type", "_from_float")) and (words := known.get(kind.partition("_")[0])):
        return words
    return message.removeprefix("Value error, ").replace("Input should be", "it is")


def _fields(group: str) -> list[str]:
    annotation: Any = Settings.__dataclass_fields__[group].type
    return list(annotation.__dataclass_fields__)
