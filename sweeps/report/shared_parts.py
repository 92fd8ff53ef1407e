"""JSON whose parts are said once, however often they occur: the charts of a page share axes and columns."""

import json
from typing import Any

# Shorter parts are shorter than what would stand for them, or hardly longer.
SHORTEST = 40


class SharedParts:
    """Parts that were met so far.

    Attributes:
        parts: each once; where one contains another, `{"$": N}` stands for number N, an earlier one.
    """

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self._places: dict[str, int] = {}
        self._columns: dict[tuple[Any, ...], Any] = {}

    def take(self, value: Any) -> Any:
        """The value with `{"$": N}` for every long part of it; `value` itself has no key `$`."""
        if isinstance(value, tuple):
            # Most of a page are columns that have been met before, and to compare them is cheaper than to write them.
            if value not in self._columns:
                self._columns[value] = self._shared(value)
            return self._columns[value]
        return self._shared(value)

    def _shared(self, value: Any) -> Any:
        if isinstance(value, dict):
            inner: Any = {key: self.take(one) for key, one in value.items()}
        elif isinstance(value, list | tuple):
            inner = [self.take(one) for one in value] if _nested(value) else list(value)
        else:
            return value
        text = json.dumps(inner, separators=(",", ":"), allow_nan=False)
        if len(text) < SHORTEST:
            return inner
        if text not in self._places:
            self._places[text] = len(self.parts)
            self.parts.append(inner)
        return {"$": self._places[text]}


def _nested(values: list[Any] | tuple[Any, ...]) -> bool:
    return any(isinstance(value, dict | list | tuple) for value in values)
