"""Everything that can be checked before a model is loaded, and what the cells then need."""

import os
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgery.errors import InputError
from surgery.files.local_paths import is_name
from surgery.texts.texts import LabelledTexts
from sweeps.cell.cell import Cell, Settings
from sweeps.config.composition import Composed
from sweeps.config.read_settings import COMMAND_KEYS, read_settings
from sweeps.config.wandb_settings import settled
from sweeps.plan.materials import Materials, ModelFacts
from sweeps.records.choice import Choice
from sweeps.records.record import AT_CHANCE, Record, swept_keys

STORE = "store"

if TYPE_CHECKING:
    from evaluation.evaluator import Evaluator
    from surgery.edits.intervention import Intervention
    from surgery.probe.probe import Probe
    from sweeps.results.giving_up import Pruning


@dataclass(frozen=True)
class Experiment:
    """A cell and what it is run with.

    Attributes:
        cell: the experiment.
        texts: of its behavior.
        evaluators: what is measured, by name.
        probe_loss: whether the probe's loss is measured too.
        config: the composed config, for the record.
        command: what makes the cell again, from the folder that its paths are relative to.
        earlier: what is applied before the probe is trained, oldest first.
    """

    cell: Cell
    texts: LabelledTexts
    evaluators: Mapping[str, "Evaluator"]
    probe_loss: bool
    config: Mapping[str, Any]
    command: str
    earlier: "tuple[Intervention, ...]" = ()


@dataclass(frozen=True)
class Plan:
    """The cells of one command, checked, without duplicates, in the order they were asked for.

    Attributes:
        notes: what a person should know before they run, in sentences.
    """

    experiments: tuple[Experiment, ...]
    sweep: str
    output_dir: Path
    choice: Choice | None
    tracking: Mapping[str, Any]
    pruning: "Pruning | None" = None
    dry_run: bool = False
    fail_fast: bool = False
    retry_failed: bool = False
    notes: tuple[str, ...] = ()
    strict: bool = False

    @cached_property
    def swept(self) -> list[str]:
        """The keys that differ between the cells, and always alpha and top_k."""
        return swept_keys([experiment.cell.keys() for experiment in self.experiments])

    def stands(self, record: Record | None) -> bool:
        """Whether a cell with this record is not run.

        It is where the cell failed and is to be tried again, and where a search gave it up, or `strict` refused it,
        but no search or no `strict` asks now.
        """
        if record is None or (record.status == "failed" and (self.retry_failed or self._was_refused(record))):
            return False
        return record.status != "pruned" or self.pruning is not None

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
        keys = experiment.cell.keys()
        return " ".join(f"{name}={keys[name]}" for name in self.swept if name in keys)

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


def make_plan(composed: Sequence[Composed], materials: Materials | None = None) -> Plan:
    """Checks all cells of a command, cheapest checks first.

    Args:
        composed: the cells.
        materials: what earlier plans have read already.

    Raises:
        InputError: for the first thing that is wrong, whichever cell it is in.
    """
    values = [dict(one.values) for one in composed]
    commands = [shlex.join(["surgery", *one.overrides]) for one in composed]
    settings = [read_settings(value) for value in values]
    first = values[0]
    for key in COMMAND_KEYS:
        if any(value[key] != first[key] for value in values):
            raise InputError(f"{key} must be the same for all cells of a sweep; name the sweep with sweep=NAME")
    choice = _choice(values)
    tracking = settled(first["tracking"])
    output_dir = _writable(first)
    materials = materials or Materials()
    materials.keep.look_in(output_dir / STORE)
    for one, value in zip(settings, values, strict=True):
        materials.texts(one)
        materials.evaluators(value)
        materials.files(one)
    notes = [said for one, value in zip(settings, values, strict=True) for said in materials.shown(one, value)]
    experiments: dict[str, Experiment] = {}
    for one, value, command in zip(settings, values, commands, strict=True):
        experiment = _experiment(one, value, command, materials)
        experiments.setdefault(experiment.cell.id, experiment)
    return Plan(
        experiments=tuple(experiments.values()),
        sweep=first["sweep"],
        output_dir=output_dir,
        choice=choice,
        tracking=tracking,
        dry_run=bool(first["dry_run"]),
        fail_fast=bool(first["fail_fast"]),
        retry_failed=bool(first["retry_failed"]),
        notes=tuple(dict.fromkeys(notes)),
        strict=bool(first["strict"]),
    )


def _choice(values: Sequence[Mapping[str, Any]]) -> Choice | None:
    """How the best cell is picked: only where all cells measure the same things is there one."""
    rules = [value["evaluation"].get("choose") for value in values]
    return Choice.parse(rules[0]) if rules[0] and all(rule == rules[0] for rule in rules) else None


def _writable(values: Mapping[str, Any]) -> Path:
    sweep, output_dir = values["sweep"], Path(values["output_dir"]).expanduser()
    if not is_name(sweep):
        raise InputError(f"sweep={sweep} can't name a folder; use letters, digits and . _ - only, at most 200 bytes")
    nearest = next(folder for folder in (output_dir, *output_dir.absolute().parents) if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"output_dir={output_dir} can't be written to: '{nearest}' does not let this user write")
    return output_dir


def chosen_layers(settings: Settings, depth: int, there: Collection[int]) -> list[int]:
    """The layers that rows may be chosen from: `region.layers` without `region.exclude_quarter`.

    Args:
        settings: of the cell.
        depth: of the model.
        there: the layers that have such rows; without `region.layers` all of these are meant.

    Raises:
        InputError: for a layer above the depth or without such rows, or when none is left.
    """
    from surgery.region.ranking import layers_without_quarter

    region = settings.region
    wanted = region.layers or sorted(there)
    for layer in wanted:
        if layer > depth:
            raise InputError(f"region.layers: layer {layer} is not in this model: its layers are 1 to {depth}")
        if layer not in there:
            raise InputError(f"region.layers: layer {layer} has no {region.component}")
    if region.exclude_quarter:
        kept = set(layers_without_quarter(depth, region.exclude_quarter))
        wanted = [layer for layer in wanted if layer in kept]
        if not wanted:
            raise InputError("region.layers and region.exclude_quarter leave no layer to choose rows from")
    return wanted


def layer_number(layer: int | str, depth: int) -> int:
    """A layer in the paper's terms as a number: of 32 layers (Table 9) first is 1, middle 16, last_but_one 31.

    Args:
        layer: a number, or `first`, `middle`, `last_but_one`, `last`.
        depth: of the model.
    """
    named = {"first": 1, "middle": max(1, depth // 2), "last_but_one": max(1, depth - 1), "last": depth}
    return layer if isinstance(layer, int) else named[layer]


def _layer(settings: Settings, depth: int, probe: "Probe | None") -> int:
    layer = layer_number(settings.layer, depth)
    if layer > depth:
        raise InputError(f"layer={layer} is not in this model: its layers are 1 to {depth}, or last")
    if probe is not None and probe.layer not in (None, layer):
        raise InputError(f"the probe in '{settings.probe.path}' reads layer {probe.layer}; say layer={probe.layer}")
    return layer


def _probe_from_file(settings: Settings, model: ModelFacts, earlier: Sequence[str]) -> "Probe | None":
    from surgery.model.fingerprints import chain_fingerprint
    from surgery.probe.probe import Probe

    if settings.probe.method != "file":
        return None
    probe = Probe.load(Path(str(settings.probe.path)).expanduser())
    probe.require_fit(
        width=model.skeleton.config.get_text_config().hidden_size,
        model_fingerprint=chain_fingerprint(model.fingerprint, earlier),
        what=f"the probe in '{settings.probe.path}'",
    )
    return probe


def _experiment(settings: Settings, values: dict[str, Any], command: str, materials: Materials) -> Experiment:
    from surgery.region.ranking import PAPER_SHARE, require_top_k

    model = materials.model(settings)
    depth = model.depth
    earlier = materials.earlier(settings)
    probe = _probe_from_file(settings, model, [one.fingerprint for one in earlier])
    layer = _layer(settings, depth, probe)
    component = settings.region.component
    layers = chosen_layers(settings, depth, model.layers(component))
    rows = model.rows(component, layers)
    top_k = settings.top_k or max(1, round(PAPER_SHARE * rows))
    require_top_k(top_k, rows, component)
    texts = materials.texts(settings)
    evaluators = materials.evaluators(values)
    probe_loss = bool(values["evaluation"]["probe_loss"])
    cell = Cell(
        settings=settings,
        layer=layer,
        top_k=top_k,
        model_identity=model.identity,
        texts_fingerprint=texts.fingerprint,
        probe_fingerprint=probe.fingerprint if probe else None,
        evaluation=dict(evaluators.identities) | {"probe_loss": probe_loss},
        earlier=tuple(one.fingerprint for one in earlier),
    )
    return Experiment(
        cell=cell,
        texts=texts,
        evaluators=evaluators.made,
        probe_loss=probe_loss,
        config=values,
        command=command,
        earlier=earlier,
    )
