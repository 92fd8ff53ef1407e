"""What a recorded config would run that is not part of this installation."""

from collections.abc import Iterator, Mapping
from typing import Any

from hydra.errors import HydraException
from hydra.utils import get_object

from sweeps.config.resolvers import ships_with_us

OURS = ("surgery", "evaluation", "sweeps", "toyworld")


def foreign_code(values: Any) -> list[str]:
    """Names what code a composed config asks for beyond our own: a record may come from somebody else.

    Args:
        values: the config as plain containers.

    Returns:
        `_target_`s that are not ours, the `trust_...` keys that are set for anything not shipped with us, and what an
        engine would be started from, or where it is.
    """
    found: list[str] = []
    for mapping in _mappings(values):
        target = mapping.get("_target_")
        if target is not None and not _is_ours(str(target)):
            found.append(str(target))
        for key, value in mapping.items():
            if str(key).startswith("trust_") and value and not _is_shipped(str(key), mapping):
                found.append(f"{key}={str(value).lower()}")
    method = values.get("method") if isinstance(values, Mapping) else None
    name = str(method.get("name")) if isinstance(method, Mapping) else ""
    if "." in name and not _is_ours(name):
        found.append(name)
    engine = values.get("engine") if isinstance(values, Mapping) else None
    for key in ("python", "url"):
        if isinstance(engine, Mapping) and engine.get(key):
            found.append(f"engine.{key}={engine[key]}")
    return list(dict.fromkeys(found))


def _mappings(values: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(values, Mapping):
        yield values
        values = list(values.values())
    if isinstance(values, list):
        for value in values:
            yield from _mappings(value)


def _is_ours(target: str) -> bool:
    """Whether it is defined in our packages: a path that begins in one may end anywhere that it imports."""
    if target.split(".", 1)[0] not in OURS:
        return False
    try:
        return str(getattr(get_object(target), "__module__", "")).split(".", 1)[0] in OURS
    except (HydraException, ValueError, ImportError):
        return True  # there is no such thing, so that nothing can run; planning says it better


def _is_shipped(key: str, mapping: Mapping[str, Any]) -> bool:
    return key == "trust_task_code" and ships_with_us(mapping.get("folder") or mapping.get("tasks"))
