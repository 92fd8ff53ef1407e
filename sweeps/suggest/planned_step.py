"""How large a step a cell's edit will be, as far as that is known before its model is loaded."""

from collections.abc import Sequence
from pathlib import Path

import torch

from surgery.errors import InputError
from surgery.gguf.stored_weight import stored_weight
from surgery.probe.probe import Probe
from surgery.rows.locator import by_layer, locate
from surgery.rows.rows import norms_of
from sweeps.cell.canonical_json import canonical_json
from sweeps.cell.cell import Cell
from sweeps.plan.experiment import Experiment
from sweeps.plan.model_reading import ModelReading
from sweeps.run.probe_stage import kept_probe
from sweeps.store.store import Store


class PlannedSteps:
    """‖alpha·direction‖ over the median norm of all rows at the probe's layer, read from the model's files.

    Which rows are edited is known once the probe is; each cell then tells its step by those.

    Args:
        experiments: the cells.
        models: what their models tell of themselves.
        store: where their probes may be.
    """

    def __init__(self, experiments: Sequence[Experiment], models: ModelReading, store: Store) -> None:
        self._models, self._store = models, store
        self._norms: dict[str, float | str] = {}
        self._edits = [one for one in experiments if _adds_to_rows(one)]
        self._components = list(dict.fromkeys(one.cell.settings.region.component for one in self._edits))

    def __bool__(self) -> bool:
        """Whether any of the cells has a step."""
        return bool(self._edits)

    def of(self, experiment: Experiment) -> float | None:
        """The step of a cell; None where it adds to no rows, or that is not known yet."""
        if not _adds_to_rows(experiment):
            return None
        norm, direction = self._row_norm(experiment), self._direction_norm(experiment.cell)
        if direction is None or not isinstance(norm, float):
            return None
        return abs(experiment.cell.settings.alpha) * direction / norm

    def told(self, experiment: Experiment) -> list[str]:
        """The entry of a table's column; none where no cell of it has a step."""
        if not self._edits:
            return []
        if not _adds_to_rows(experiment):
            return ["-"]
        return ["?" if (step := self.of(experiment)) is None else f"{step:.3g}"]

    def notes(self) -> list[str]:
        """What the steps are of, and why some are not known, in sentences."""
        norms = [self._row_norm(one) for one in self._edits]
        known = sorted(norm for norm in norms if isinstance(norm, float))
        unread = list(dict.fromkeys(norm for norm in norms if isinstance(norm, str)))
        notes = [f"step: told by each cell, since {reason}" for reason in unread]
        if known:
            span = f"{known[0]:.3g}" + (f" to {known[-1]:.3g}" if known[-1] > known[0] else "")
            rows = " and ".join(self._components)
            notes.append(
                f"step: ‖alpha·direction‖ over the median norm of the {rows} rows at the probe's layer ({span}); each "
                "cell tells it of the very rows that it edits"
            )
        if known and any(self._direction_norm(one.cell) is None for one in self._edits):
            notes.append("step ?: with alpha_unit=raw the probe's own norm counts, which is known once it is fitted")
        return notes

    def _direction_norm(self, cell: Cell) -> float | None:
        if cell.settings.alpha_unit != "raw":
            return 1.0
        if cell.settings.probe.method == "file":
            probe: Probe | None = Probe.load(Path(str(cell.settings.probe.path)).expanduser())
        else:
            probe = kept_probe(self._store, cell)
        return None if probe is None else float(probe.direction(1).norm())

    def _row_norm(self, experiment: Experiment) -> float | str:
        """The median norm of a layer's rows; why it is not known, where it is not."""
        cell = experiment.cell
        component = cell.settings.region.component
        source, shapes = self._models.shapes(cell.settings)
        key = canonical_json([cell.model_fingerprint, component, cell.layer])
        if key not in self._norms:
            homes = by_layer(locate(shapes, component))
            # Where some layers mix tokens otherwise, the nearest one below that has such rows.
            layer = max((one for one in homes if one <= cell.layer), default=min(homes))
            try:
                weights = [(home, stored_weight(source, shapes, home.parameter)) for home in homes[layer]]
                norms = [norms_of(home.view(weight)).flatten() for home, weight in weights]
                self._norms[key] = float(torch.cat(norms).quantile(0.5))
            except InputError as error:
                self._norms[key] = str(error)
        return self._norms[key]


def _adds_to_rows(experiment: Experiment) -> bool:
    return experiment.cell.settings.method.name == "surgery"
