"""Which of its keys tell a cell from others, and how they are written."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

Keys = Mapping[str, Any]


def differing_keys(cells: Sequence[Keys]) -> list[str]:
    """The keys whose values differ between cells, one that only some of them have among these."""
    names = dict.fromkeys(name for keys in cells for name in keys)
    return [name for name in names if len({repr(keys.get(name)) for keys in cells}) > 1]


def swept_keys(cells: Sequence[Keys]) -> list[str]:
    """The keys whose values differ between cells, and always alpha and top_k."""
    told = {*differing_keys(cells), "top_k", "alpha"}
    return [name for name in dict.fromkeys(name for keys in cells for name in keys) if name in told]


def setting_text(keys: Keys, names: Iterable[str]) -> str:
    """`top_k=256 alpha=2.0`: the values of those of these keys that a cell has."""
    return " ".join(f"{name}={keys[name]}" for name in names if name in keys)


class TellingKeys:
    """Cells by what tells them apart: their method, where there are several, and what differs between its cells."""

    def __init__(self, cells: Sequence[Keys]) -> None:
        alike: dict[Hashable, list[Keys]] = {}
        for keys in cells:
            alike.setdefault(keys.get("method"), []).append(keys)
        first = ["method"] if len(alike) > 1 else []
        self._told = {method: list(dict.fromkeys([*first, *swept_keys(of_it)])) for method, of_it in alike.items()}

    def of(self, keys: Keys) -> str:
        """`method=caa alpha=0.5`, of one of the cells."""
        return setting_text(keys, self._told[keys.get("method")])
