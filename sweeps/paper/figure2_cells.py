"""The cells of a sweep that Figure 2 is drawn from, one a behavior."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgery.activity.neuron_activity import require_gates
from surgery.edits.edit import Edit
from surgery.errors import InputError
from sweeps.cell.canonical_json import canonical_json
from sweeps.cell.settings import framing_keys
from sweeps.paper.prompt_sets import PromptSet, behavior_prompts, task_prompts
from sweeps.paper.table import one_of, settings_of
from sweeps.records.base_model import model_arguments
from sweeps.records.chain import read_chain
from sweeps.records.record import Record
from sweeps.records.sweep import require_config
from sweeps.results.protocols import measured_alike

if TYPE_CHECKING:
    from surgery.edits.edit import Edit
    from surgery.edits.intervention import Intervention


@dataclass(frozen=True)
class Behavior:
    """A behavior's edit, and what it is looked at on.

    Attributes:
        name: of the behavior.
        chain: all that was applied to the base, oldest first; the cell's own edit is the last.
        config: of the cell.
        own: prompts that call for the behavior.
        tasks: other prompts.
    """

    name: str
    chain: "Sequence[Intervention]"
    config: Mapping[str, Any]
    own: PromptSet
    tasks: Sequence[PromptSet]

    @property
    def edit(self) -> "Edit":
        """The cell's own."""
        edit = self.chain[-1]
        assert isinstance(edit, Edit), "cells of method=surgery hold one"
        return edit

    @property
    def sets(self) -> list[PromptSet]:
        """Its own prompts first."""
        return [self.own, *self.tasks]


def behaviors_of(folder: Path, done: Sequence[Record]) -> list[Behavior]:
    """The cell of each behavior with all that is needed of it, in the order of the records.

    Args:
        folder: of the sweep.
        done: its finished cells.

    Raises:
        InputError: when no cell is one of surgery on gate rows, several are one behavior's and the rule chooses none,
            a cell measured no behavior or no task, or the cells are of several models; no model is loaded for that.
    """
    groups: dict[str, list[Record]] = {}
    for record in done:
        settings = settings_of(folder / record.cell)
        surgery = record.keys.get("method", "surgery") == "surgery"
        if surgery and settings.get("region.component", "gate_proj") == "gate_proj":
            groups.setdefault(str(settings.get("behavior.name")), []).append(record)
    if not groups:
        raise InputError("no cell of this sweep is of method=surgery with region.component=gate_proj")
    cells = {name: one_of(records, folder, f"of behavior '{name}'") for name, records in groups.items()}
    measured_alike(list(cells.values()), folder)
    found = [_behavior(name, record, folder / record.cell) for name, record in cells.items()]
    if len({canonical_json([model_arguments(one.config), framing_keys(one.config)]) for one in found}) > 1:
        raise InputError("the cells of this sweep are of several models; figure 2 is of one, so name a sweep of one")
    for behavior in found:
        require_gates(behavior.edit.region)
    return found


def _behavior(name: str, record: Record, cell_folder: Path) -> Behavior:
    config = require_config(cell_folder)
    own = behavior_prompts(record, cell_folder, config)
    return Behavior(name, read_chain(cell_folder), config, own, task_prompts(record, cell_folder))
