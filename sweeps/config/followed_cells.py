"""Cells that follow another cell of the same command: `composition=[KEY:VALUE]` (the paper's Table 8)."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from surgery.errors import InputError
from sweeps.config.composition import Composed
from sweeps.config.written_values import source


def first_and_following(composed: Sequence[Composed]) -> tuple[list[Composed], list[tuple[Composed, Composed]]]:
    """Parts the cells that can be planned at once from those that follow one of them.

    `composition=[behavior:detoxify]` means the cell of the command that has `behavior=detoxify` and all else alike.
    That cell itself follows nothing.

    Args:
        composed: the cells of a command.

    Returns:
        The cells that come first, and (cell, the one it follows) of the others.

    Raises:
        InputError: where such a cell is not in the command, or is asked for together with something else.
    """
    first: list[Composed] = []
    waiting: list[tuple[Composed, str]] = []
    for one in composed:
        entries = [str(entry) for entry in one.values.get("composition") or []]
        named = [entry for entry in entries if _names_a_cell(entry)]
        if not named:
            first.append(one)
        elif len(entries) > 1:
            raise InputError(
                f"composition: '{named[0]}' brings along what its own cell follows, so it has to stand alone; "
                "put folders or files of edits where that cell is composed"
            )
        elif named[0].replace(":", "=", 1) in one.overrides:
            first.append(on_its_own(one))
        else:
            waiting.append((one, named[0]))
    by_overrides = {_apart_from_composition(one): one for one in first}
    return first, [(one, _followed(one, named, by_overrides)) for one, named in waiting]


def following(one: Composed, *folders: Path | str) -> Composed:
    """The cell with the folders of those that it follows in its composition."""
    paths = [str(folder) for folder in folders]
    told = f"composition=[{','.join(map(source, paths))}]"
    return Composed({**one.values, "composition": paths}, (*_apart_from_composition(one), told))


def on_its_own(one: Composed) -> Composed:
    """The cell with nothing in its composition."""
    return replace(one, values={**one.values, "composition": []})


def _names_a_cell(entry: str) -> bool:
    """Whether an entry is KEY:VALUE; a path has no colon after a bare word, unless it is there."""
    return re.match(r"[\w./]+:[^/\\]", entry) is not None and not Path(entry).expanduser().exists()


def _apart_from_composition(one: Composed) -> tuple[str, ...]:
    return tuple(override for override in one.overrides if not override.startswith("composition="))


def _followed(one: Composed, named: str, first: dict[tuple[str, ...], Composed]) -> Composed:
    key, value = named.split(":", 1)
    others = _apart_from_composition(one)
    wanted = tuple(f"{key}={value}" if override.split("=", 1)[0] == key else override for override in others)
    if wanted not in first:
        raise InputError(
            f"composition: no other cell of this command has {key}={value} and is else like "
            f"'{' '.join(one.overrides)}'; name it too, as in `surgery -m {key}={value},OTHER composition=[{named}]`"
        )
    return first[wanted]
