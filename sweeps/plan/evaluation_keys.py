"""The values of `evaluation`, held against the types of what they are handed to."""

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from sweeps.config.key_types import TARGET, parameters
from sweeps.config.read_settings import KeyIsWrong, in_words


def require_types(evaluation: Mapping[str, Any]) -> None:
    """Raises KeyIsWrong for a plain value that a measurement does not take: it would fail where it is used.

    Args:
        evaluation: the group as plain containers, with everything in ${...} filled in.
    """
    _look(evaluation["measurements"], ("evaluation", "measurements"), evaluation)


def _look(node: Any, path: tuple[str, ...], evaluation: Mapping[str, Any]) -> None:
    if not isinstance(node, Mapping):
        return
    types = parameters(node[TARGET]) if TARGET in node else {}
    for name, value in node.items():
        if isinstance(value, str | int | float) and name in types:
            _require(types[name], value, ".".join((*path, name)), evaluation)
        _look(value, (*path, str(name)), evaluation)


def _require(annotation: Any, value: object, key: str, evaluation: Mapping[str, Any]) -> None:
    try:
        TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        name = key.rpartition(".")[2]
        # What a whole evaluation has one key for stands in its measurements as ${evaluation.KEY}.
        typed = f"evaluation.{name}" if evaluation.get(name) == value else key
        raise KeyIsWrong(
            f"{typed}={value} is not possible: {in_words(first['type'], str(first['msg']), typed, value)}", typed
        ) from None
    except (PydanticSchemaGenerationError, TypeError):
        return  # a type that only its own package can check
