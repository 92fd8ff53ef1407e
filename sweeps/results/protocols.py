"""Which cells were measured alike: only those may stand in one table, be chosen among, or be compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surgery.errors import InputError
from sweeps.cell.settings import FRAMING, framing_keys
from sweeps.records.record import Record
from sweeps.records.sweep import config_of, flat

# How many settings a sentence names.
TOLD = 3
# What of `evaluation` is no part of the protocol.
NOT_MEASURED = ("choose", "checksums", "measurements")


def by_protocol(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records by the hash of what was measured and how, in the order the first of each was given.

    Those without a metric (failed cells) have nothing that another could be mixed with, and are left out.
    """
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.metrics:
            found.setdefault(record.protocol, []).append(record)
    return found


def measured_alike(records: Sequence[Record], folder: Path, protocol: str = "") -> list[Record]:
    """The records that may stand in one table: all, or those of one protocol.

    Of earlier versions, a failed cell's record does not say how it was to be measured; it stands with any.

    Args:
        records: of a sweep.
        folder: of the sweep.
        protocol: the start of a hash; empty where all are wanted.

    Raises:
        InputError: when they were measured in several ways and none is named, with what differs; when no cell was
            measured in the one that is named.
    """
    groups = by_protocol(records)
    counted = ", ".join(f"{hash_of(name)} ({len(cells)} cells)" for name, cells in groups.items())
    if protocol:
        named = [name for name in groups if name.startswith(protocol)]
        if len(named) != 1:
            raise InputError(f"--protocol {protocol} names {len(named)} of the ways to measure; there are {counted}")
        return [record for record in records if record.protocol == named[0] or not (record.metrics or record.protocol)]
    if len(groups) > 1:
        first, *others = groups.values()
        names = [hash_of(protocol) for protocol in groups]
        differences = {
            what_differs((first[0], other[0]), (folder, folder), (names[0], name))
            for other, name in zip(others, names[1:], strict=True)
        }
        raise InputError(
            f"the cells of '{folder.name}' were not all measured the same way, and no table or choice can hold two: "
            f"{counted}; {'; '.join(sorted(differences))}; say which with --protocol HASH"
        )
    return list(records)


def hash_of(protocol: str) -> str:
    """A protocol as a person reads it."""
    return protocol or "not recorded"


def what_differs(cells: tuple[Record, Record], folders: tuple[Path, Path], names: tuple[str, str]) -> str:
    """What two cells of different protocols measured differently, as far as the configs beside their records tell.

    Args:
        cells: one of each.
        folders: of their sweeps.
        names: what to call the two.
    """
    configs = [config_of(folder / cell.cell) for cell, folder in zip(cells, folders, strict=True)]
    one, other = (config.get("evaluation") or {} for config in configs)
    if not one or not other:
        return "it is unclear what differs, since there is no config.yaml beside the records"
    engines = [cell.keys.get("engine", "transformers") for cell in cells]
    by_engine = [("engine", *engines)] if engines[0] != engines[1] else []
    differing = [*by_engine, *_framing(*configs), *_settings(one, other)]
    told = [f"{key} is {_shown(a)} in {names[0]} and {_shown(b)} in {names[1]}" for key, a, b in differing]
    ours, theirs = ({name for name, value in _measurements(config).items() if value} for config in (one, other))
    for only, name in ((ours - theirs, names[0]), (theirs - ours, names[1])):
        if only:
            told.append(f"{', '.join(sorted(only))} {'is' if len(only) == 1 else 'are'} measured in {name} alone")
    if not told:
        return "their settings are the same, so a file, a task or a model that was read holds something else"
    rest = len(told) - TOLD
    return "; ".join(told[:TOLD]) + (f"; and {rest} more" if rest > 0 else "")


def _measurements(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    return evaluation.get("measurements") or {}


def _framing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What goes into the chat template beside the turns, where it has two values."""
    ours, theirs = framing_keys(one), framing_keys(other)
    keys = [name for name in FRAMING if ours.get(name) != theirs.get(name)]
    return [(f"model.{name}", ours.get(name), theirs.get(name)) for name in keys]


def _settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The settings of an evaluation with two values. One that others are filled in from stands for these."""
    both = _measurements(one).keys() & _measurements(other).keys()
    ours, theirs = (
        flat({name: value for name, value in config.items() if name not in NOT_MEASURED}, "evaluation.")
        | flat(
            {name: value for name, value in _measurements(config).items() if name in both and value},
            "evaluation.measurements.",
        )
        for config in (one, other)
    )
    found: dict[str, tuple[str, Any, Any]] = {}
    for key in ours.keys() & theirs.keys():
        a, b = ours[key], theirs[key]
        if a != b:
            found[key] = (key, a, b)
    # A path counts by its content, so another path need not be what differs.
    ordered = sorted(found.values(), key=lambda entry: ("/" in str(entry[1:]), entry[0].count("."), entry[0]))
    pairs: dict[str, tuple[str, Any, Any]] = {}
    for entry in ordered:
        pairs.setdefault(repr(entry[1:]), entry)
    return list(pairs.values())


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
