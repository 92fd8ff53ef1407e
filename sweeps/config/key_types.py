"""What type of value a key takes, found where it is used: in the settings, or in what a node's `_target_` takes."""

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints, is_typeddict

from hydra.errors import HydraException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from sweeps.cell.settings import Settings
from sweeps.config.read_settings import ChoiceSettings, RunSettings

TARGET = "_target_"
# A sweeper hands these on without saying their types.
_OF_SWEEPERS = {"hydra.sweeper.where": ChoiceSettings.__annotations__["where"]}


def declared_type(key: str) -> Any:
    """The type of a key of the settings; None where they do not say."""
    path = key.split(".")
    return _OF_SWEEPERS.get(key) or _below(Settings, path) or _below(RunSettings, path)


def type_in(config: DictConfig, key: str) -> Any:
    """The type of a key of a composed config: declared, or that of the parameter that it is or is handed to.

    None where nothing tells.
    """
    return declared_type(key) or _of_node(config, key) or _of_what_it_is_handed_to(config, key)


def parameters(target: object) -> Mapping[str, Any]:
    """{name: type} of what a `_target_` takes; empty where it can't be had or does not say."""
    try:
        found: Any = get_object(str(target))
        is_plain_class = isinstance(found, type) and not is_dataclass(found)
        return get_type_hints(found.__init__ if is_plain_class else found)
    except (HydraException, ImportError, ValueError, AttributeError, NameError, TypeError):
        return {}


def members(annotation: Any) -> tuple[Any, ...]:
    """The types that a value may have: those of a union, without what `Annotated` adds."""
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(one for part in get_args(annotation) for one in members(part))
    return (annotation,)


def items(annotation: Any) -> Any:
    """The type of the items, where a value may be a list; else None."""
    for one in members(annotation):
        if get_origin(one) in (list, tuple, Sequence) and get_args(one):
            return get_args(one)[0]
    return None


def values(annotation: Any) -> Any:
    """The type of the values, where a value may be a mapping; else None."""
    for one in members(annotation):
        if get_origin(one) in (dict, Mapping):
            return get_args(one)[1]
    return None


def is_mapping(annotation: Any) -> bool:
    """Whether a value may be a mapping."""
    return any(get_origin(one) in (dict, Mapping) or is_typeddict(one) for one in members(annotation))


def written_as_text(written: str, annotation: Any) -> bool:
    """Whether what is written has to be taken as text, character by character, at a place of a type.

    A number stands for itself where numbers are possible too and it is written as a program would write it:
    `behavior.label=2` is the third column, while `007` and `1_5` can only be names.
    """
    possible = members(annotation)
    if str not in possible:
        return False
    if written.lower() == "null":
        return types.NoneType not in possible
    return not any(one in _CANONICAL and _CANONICAL[one](written) for one in possible)


def _is_whole(written: str) -> bool:
    return written.removeprefix("-").isascii() and written.removeprefix("-").isdigit() and str(int(written)) == written


def _is_decimal(written: str) -> bool:
    try:
        return repr(float(written)) == written
    except ValueError:
        return False


_CANONICAL: Mapping[Any, Callable[[str], bool]] = {
    int: _is_whole,
    float: _is_decimal,
    bool: lambda written: written.lower() in ("true", "false"),
}


def _below(annotation: Any, path: Sequence[str]) -> Any:
    """The type at the end of a path of names."""
    for name in path:
        holder = next((one for one in members(annotation) if is_dataclass(one) or is_typeddict(one)), None)
        hints = get_type_hints(holder, include_extras=True) if holder is not None else {}
        annotation = hints.get(name) or values(annotation)
        if annotation is None:
            return None
    return None if annotation is Any else annotation


def _of_node(config: DictConfig, key: str) -> Any:
    """The type of a key at or below a parameter of a `_target_`."""
    path = key.split(".")
    for length in range(len(path) - 1, 0, -1):
        node = OmegaConf.select(config, ".".join(path[:length]), throw_on_resolution_failure=False)
        if isinstance(node, DictConfig) and TARGET in node:
            name, *rest = path[length:]
            return _below(parameters(node[TARGET]).get(name), rest)
    return None


def _of_what_it_is_handed_to(config: DictConfig, key: str) -> Any:
    """The type of the parameter that stands as `${KEY}`, or as `${...}` of what KEY is a part of."""
    path = key.split(".")
    ways = {"${" + ".".join(path[:length]) + "}": path[length:] for length in range(len(path), 0, -1)}
    tree = OmegaConf.to_container(config, resolve=False)
    for way, rest in ways.items():
        for target, name in _handed(tree, way):
            if (found := _below(parameters(target).get(name), rest)) is not None:
                return found
    return None


def _handed(tree: Any, way: str) -> Iterator[tuple[str, str]]:
    """(target, parameter) wherever something stands as one `${...}`, at any depth."""
    if isinstance(tree, Mapping):
        if TARGET in tree:
            yield from ((tree[TARGET], str(name)) for name, value in tree.items() if value == way)
        tree = list(tree.values())
    if isinstance(tree, list):
        for value in tree:
            yield from _handed(value, way)
