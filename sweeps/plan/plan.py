"""The cells of one command, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgery.errors import InputError
from sweeps.plan.experiment import Experiment
from sweeps.records.choice import Choice
from sweeps.records.record import AT_CHANCE, RESULT, Record
from sweeps.records.told_keys import setting_text, swept_keys

if TYPE_CHECKING:
    from sweeps.results.giving_up import Pruning

STORE = "store"


@dataclass(frozen=True)
class Plan:
    """The cells of one command, checked, without duplicates, in the order they were asked for.

    Attributes:
        notes: what a person should know before they run, in sentences.
        told: keys that tell a cell from those of other plans of the same sweep.
    """

    experiments: tuple[Experiment, ...]
    sweep: str
    output_dir: Path
    choice: Choice | None
    tracking: Mapping[str, Any]
    pruning: "Pruning | None" = None
    dry_run: bool = False
    suggest: bool = False
    fail_fast: bool = False
    retry_failed: bool = False
    notes: tuple[str, ...] = ()
    strict: bool = False
    told: tuple[str, ...] = ()

    @cached_property
    def swept(self) -> list[str]:
        """The keys that differ between the cells, and always alpha and top_k; those of `told` before them."""
        return list(dict.fromkeys([*self.told, *swept_keys([e.cell.keys() for e in self.experiments])]))

    def stands(self, record: Record | None) -> bool:
        """Whether a cell with this record is not run.

        It is where the cell failed and is to be tried again, and where a search gave it up, or `strict` refused it,
        but no search or no `strict` asks now.
        """
        if record is None or (record.status == "failed" and (self.retry_failed or self._was_refused(record))):
            return False
        return record.status != "pruned" or self.pruning is not None

    def waiting(self, records: Mapping[str, Record]) -> list[str]:
        """The cells that have to run, given the sound records there are."""
        cells = [experiment.cell.id for experiment in self.experiments]
        return [cell for cell in cells if not self.stands(records.get(cell))]

    def ended(self, cell: str) -> Record | None:
        """The record of a cell that has ended, so that it is not run: whole, undamaged, and one that `stands`.

        Every executor asks this, here and on clusters.
        """
        folder = self.sweep_folder / cell
        if not (folder / RESULT).is_file():
            return None
        try:
            record = Record.load(folder)
        except InputError:
            return None  # damaged: whoever gave the command said so
        return record if record.damaged_file(folder) is None and self.stands(record) else None

    def _was_refused(self, record: Record) -> bool:
        return AT_CHANCE in record.probe and not self.strict

    def experiment(self, cell: str) -> Experiment:
        """The experiment of a cell, by id."""
        return self._by_cell[cell]

    @cached_property
    def _by_cell(self) -> dict[str, Experiment]:
        return {experiment.cell.id: experiment for experiment in self.experiments}

    def swept_values(self, experiment: Experiment) -> str:
        """`top_k=256 alpha=2.0`: what tells a cell of this plan from the others."""
        return setting_text(experiment.cell.keys(), self.swept)

    def label(self, cell: str) -> str:
        """A cell's id and what was swept, for a line of progress."""
        return f"{cell} {self.swept_values(self.experiment(cell))}"

    def require_devices(self) -> None:
        """Raises InputError for the first cell whose model is to be on a device that this machine does not have."""
        from surgery.model.loading import require_device

        for experiment in self.experiments:
            require_device(experiment.cell.settings.model.device)

    @property
    def sweep_folder(self) -> Path:
        """Where the records go."""
        return self.output_dir / "runs" / self.sweep

    @property
    def store_folder(self) -> Path:
        """Where what the stages make is kept."""
        return self.output_dir / STORE
