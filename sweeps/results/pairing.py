"""Cells of two sweeps that stand beside each other: those with equal keys that were measured alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from surgery.errors import InputError
from sweeps.records.record import Record, in_order

Pair = tuple[Record, Record]


@dataclass(frozen=True)
class Pairing:
    """Which cell of one sweep goes with which of the other.

    Attributes:
        pairs: cells of A and B of one protocol, in A's order.
        refused: those with equal keys of which each has its own protocol, and none of the other's.
        keys: what is equal in each pair and not in all of them: what tells a pair from the others.
        apart: the keys that set the sweeps apart as a whole, with their two values.
        alone: how many done cells of A and of B have no counterpart.
        ambiguous: ids of cells whose keys and protocol another cell of the same sweep has too.
    """

    pairs: tuple[Pair, ...]
    refused: tuple[Pair, ...]
    keys: tuple[str, ...]
    apart: dict[str, tuple[Any, Any]]
    alone: tuple[int, int]
    ambiguous: tuple[str, ...]


def pair(a: Sequence[Record], b: Sequence[Record], on: Sequence[str] = ()) -> Pairing:
    """Joins two sweeps on all keys but those that set them apart as a whole, or on the ones that are given.

    A key sets two sweeps apart when each has one value of it, and these differ: the model, say.

    Args:
        a, b: cells that are done.
        on: the keys to join on; empty for the rule above.

    Raises:
        InputError: for a key that no cell has.
    """
    names = list(dict.fromkeys(name for record in (*a, *b) for name in record.keys))
    if unknown := [name for name in on if name not in names]:
        raise InputError(f"no cell has a key '{unknown[0]}'; there are {', '.join(names)}")
    apart = {name: found for name in names if (found := _apart(a, b, name)) is not None}
    joined = list(on) or [name for name in names if name not in apart]
    rows_a, twice_a = _by_keys(a, joined)
    rows_b, twice_b = _by_keys(b, joined)
    pairs = [(record, rows_b.pop(key)) for key, record in rows_a.items() if key in rows_b]
    paired = {record.cell for record, _ in pairs}
    left_b = {key[1:]: record for key, record in rows_b.items()}
    left_a = {key[1:]: record for key, record in rows_a.items() if record.cell not in paired}
    refused = [(record, left_b[values]) for values, record in left_a.items() if values in left_b]
    telling = [name for name in joined if len({repr(one.keys.get(name)) for one, _ in pairs}) > 1]
    return Pairing(
        pairs=tuple(pairs),
        refused=tuple(refused),
        keys=tuple(telling),
        apart=apart,
        alone=(len(rows_a) - len(pairs) - len(refused), len(rows_b) - len(refused)),
        ambiguous=(*twice_a, *twice_b),
    )


def _apart(a: Sequence[Record], b: Sequence[Record], name: str) -> tuple[Any, Any] | None:
    of_a, of_b = {record.keys.get(name) for record in a}, {record.keys.get(name) for record in b}
    return (of_a.pop(), of_b.pop()) if len(of_a) == len(of_b) == 1 and of_a != of_b else None


def _by_keys(records: Sequence[Record], joined: Sequence[str]) -> tuple[dict[tuple[Any, ...], Record], list[str]]:
    """Cells by protocol and values of some keys; the ids of those that share them all with another are apart."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in in_order(records):
        groups.setdefault((record.protocol, *(record.keys.get(name) for name in joined)), []).append(record)
    single = {key: group[0] for key, group in groups.items() if len(group) == 1}
    return single, [record.cell for group in groups.values() if len(group) > 1 for record in group]
