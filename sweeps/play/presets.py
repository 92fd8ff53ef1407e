"""The cells of a sweep that can be played with, the chosen one first: where the sliders start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from surgery.edits.edit import Edit
from surgery.edits.intervention import Intervention
from surgery.errors import InputError
from sweeps.cell.settings import Settings, framing_keys
from sweeps.config.read_settings import read_settings
from sweeps.records.base_model import model_arguments
from sweeps.records.chain import read_chain
from sweeps.records.record import Record, in_order
from sweeps.records.sweep import Sweep, require_config
from sweeps.records.told_keys import TellingKeys
from sweeps.results.best_cell import choose
from sweeps.results.cell_selector import named_cell
from sweeps.results.protocols import by_protocol

METHOD = "surgery"


@dataclass(frozen=True)
class Preset:
    """A finished cell: its alpha and `top_k` are where the sliders start, all else of it they leave as it is.

    Attributes:
        record, config: of the cell.
        folder: of the cell.
        label: what tells it from the others.
    """

    record: Record
    config: Mapping[str, Any]
    folder: Path
    label: str

    @property
    def cell(self) -> str:
        """Its id."""
        return self.record.cell

    @cached_property
    def settings(self) -> Settings:
        """Of the cell."""
        return read_settings(dict(self.config))

    @property
    def earlier(self) -> list[Intervention]:
        """What its composition applies before the edit, oldest first."""
        return self._chain[:-1]

    @property
    def edit(self) -> Edit:
        """The edit that was measured."""
        edit = self._chain[-1]
        assert isinstance(edit, Edit), f"method={METHOD} leaves edits"
        return edit

    @property
    def alpha(self) -> float:
        """Of the edit."""
        return self.edit.alpha

    @property
    def top_k(self) -> int:
        """How many rows the edit changes."""
        return len(self.edit.region)

    @cached_property
    def _chain(self) -> list[Intervention]:
        return read_chain(self.folder)


@dataclass(frozen=True)
class Presets:
    """Of one sweep, all on one model.

    Attributes:
        cells: the first is where the page starts.
        notes: what a person should know of those that are not among them, and of the choice, in sentences.
    """

    cells: tuple[Preset, ...]
    notes: tuple[str, ...]

    @property
    def first(self) -> Preset:
        """Where the page starts."""
        return self.cells[0]

    def of(self, cell: str) -> Preset:
        """That of a cell, by its whole id."""
        return next(one for one in self.cells if one.cell == cell)

    @classmethod
    def of_sweep(cls, sweep: Sweep, start: str = "") -> "Presets":
        """The cells of method=surgery that are on the model of the first.

        Args:
            sweep: with finished cells.
            start: the cell to begin with; empty for the one that the sweep's rule chooses, or else the first.

        Raises:
            InputError: when there is no such cell.
        """
        done = sweep.some_done()
        edits = [one for one in in_order(done) if one.keys.get("method", METHOD) == METHOD]
        configs = {one.cell: require_config(sweep.folder / one.cell) for one in edits}
        playable = [one for one in edits if one.older_identity is None]
        if not playable:
            why = edits[0].older_identity if edits else f"its cells are of other methods than {METHOD}"
            raise InputError(f"sweep '{sweep.name}' has no cell to play with: {why}")
        best, notes = _best(sweep, done)
        asked = named_cell(start, sweep, done).cell if start else best
        first = next((one for one in playable if one.cell == asked), None)
        if start and first is None:
            raise InputError(f"cell {asked} can't be played with; there are {', '.join(one.cell for one in playable)}")
        first = first or playable[0]
        alike = [one for one in playable if _model(one, configs[one.cell]) == _model(first, configs[first.cell])]
        if len(done) > len(alike):
            others = f"{len(done) - len(alike)} of {len(done)} cells are of another model, method, variant or version"
            notes = [*notes, f"{others}; name one of them to play with those like it"]
        ordered = [first, *(one for one in alike if one is not first)]
        telling = TellingKeys([one.keys for one in alike])
        return cls(
            tuple(
                Preset(one, configs[one.cell], sweep.folder / one.cell, _label(one, telling, one.cell == best))
                for one in ordered
            ),
            tuple(notes),
        )


def _best(sweep: Sweep, done: Sequence[Record]) -> tuple[str | None, list[str]]:
    """The cell that the sweep's rule chooses; None, and why, where there is none."""
    rule = sweep.rule(done)
    if rule is None or len(by_protocol(done)) > 1:
        return None, ["no cell is chosen: the cells have no one rule, or were not all measured the same way"]
    found = choose(done, rule, sweep.folder)
    return (found.best.cell, []) if found.best else (None, [found.why])


def _model(record: Record, config: Mapping[str, Any]) -> list[Any]:
    """What two cells have to share to be played with on one loaded model."""
    return [record.edit.get("base"), model_arguments(config), framing_keys(config)]


def _label(record: Record, telling: TellingKeys, chosen: bool) -> str:
    return f"{'chosen: ' if chosen else ''}{telling.of(record.keys)} ({record.cell})"
