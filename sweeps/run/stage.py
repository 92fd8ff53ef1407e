"""A stage: one thing that a cell needs, made once and kept in the store."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Stage(Generic[T]):
    """What the store keeps, as a cell asks for it with `CellWork.take`.

    Attributes:
        name: of the stage, a folder of the store.
        identity: everything that it depends on, see `stage_identities`.
        make: fills the entry's folder where the store has none. What it needs it takes from other stages, then only.
        load: reads the folder.
        prepare: called before `make` where the store has no entry: for what makes the entries of many cells at once.
        stays: the last one stays in memory, for the cells of a grid that share it.
    """

    name: str
    identity: Mapping[str, Any]
    make: Callable[[Path], None]
    load: Callable[[Path], T]
    prepare: Callable[[], None] | None = None
    stays: bool = False
