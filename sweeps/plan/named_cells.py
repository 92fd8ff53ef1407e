"""Cells that `composition` names as a person does, `outputs/runs/NAME/best` say, by the folders that they are."""

from pathlib import Path

from sweeps.config.composition import Composed
from sweeps.config.followed_cells import following
from sweeps.records.record import cell_folders
from sweeps.records.sweep import Sweep
from sweeps.results.cell_selector import named_cell


def with_cell_folders(one: Composed) -> Composed:
    """The cell with a folder for each cell that its composition names otherwise; see `named_cell`.

    What is the best cell of a sweep may change, and what a cell was made of may not: its record has the folder.

    Raises:
        InputError: when such a name means no cell, or several.
    """
    entries = [str(entry) for entry in one.values.get("composition") or []]
    folders = [_folder(entry) for entry in entries]
    return one if folders == entries else following(one, *folders)


def _folder(entry: str) -> str:
    path = Path(entry).expanduser()
    if path.exists() or not path.parent.is_dir() or not cell_folders(path.parent):
        return entry
    return str(path.parent / named_cell(path.name, Sweep(path.parent)).cell)
