"""Everything that can be checked before a model is loaded, and what the cells then need."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surgery.errors import InputError
from surgery.files.local_paths import is_name
from surgery.region.choosable_rows import PAPER_SHARE, require_top_k
from sweeps.cell.cell import Cell
from sweeps.cell.settings import Settings
from sweeps.config.composition import Composed
from sweeps.config.read_settings import COMMAND_KEYS, read_settings
from sweeps.config.wandb_settings import settled
from sweeps.plan.engine_checks import require_adapters, require_answers, require_engine
from sweeps.plan.experiment import Experiment
from sweeps.plan.layers import cell_layer, chosen_layers, method_layers
from sweeps.plan.materials import Materials
from sweeps.plan.measured_names import named_by, unmeasured
from sweeps.plan.measurement_notes import measurement_notes
from sweeps.plan.named_cells import with_cell_folders
from sweeps.plan.plan import STORE, Plan
from sweeps.records.choice import Choice


def make_plan(composed: Sequence[Composed], materials: Materials | None = None) -> Plan:
    """Checks all cells of a command, cheapest checks first.

    Args:
        composed: the cells.
        materials: what earlier plans have read already.

    Raises:
        InputError: for the first thing that is wrong, whichever cell it is in.
    """
    composed = [with_cell_folders(one) for one in composed]
    values = [dict(one.values) for one in composed]
    commands = [_command(one) for one in composed]
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
        _look(one, value, materials)
    notes = _ruled(composed, choice, materials)
    notes += [said for one, value in zip(settings, values, strict=True) for said in materials.shown(one, value)]
    experiments: dict[str, Experiment] = {}
    for one, value, command in zip(settings, values, commands, strict=True):
        experiment = _experiment(one, value, command, materials)
        experiments.setdefault(experiment.cell.id, experiment)
    different = tuple(experiments.values())
    notes += measurement_notes(different, choice)
    return Plan(
        experiments=different,
        sweep=first["sweep"],
        output_dir=output_dir,
        choice=choice,
        tracking=tracking,
        dry_run=bool(first["dry_run"]),
        suggest=bool(first["suggest"]),
        fail_fast=bool(first["fail_fast"]),
        retry_failed=bool(first["retry_failed"]),
        notes=tuple(dict.fromkeys(notes)),
        strict=bool(first["strict"]),
    )


def plan_cell(composed: Composed, materials: Materials) -> Experiment:
    """One cell checked as `make_plan` checks it, without a command around it: what its id is, say.

    Args:
        composed: the cell.
        materials: what earlier cells have read already.

    Raises:
        InputError: for the first thing that is wrong with it.
    """
    composed = with_cell_folders(composed)
    values = dict(composed.values)
    settings = read_settings(values)
    _look(settings, values, materials)
    materials.shown(settings, values)
    return _experiment(settings, values, _command(composed), materials)


def _look(settings: Settings, values: Mapping[str, Any], materials: Materials) -> None:
    """What can be checked of a cell without torch."""
    _require_method(settings)
    require_engine(settings)
    materials.texts(settings)
    materials.pairs(settings)
    require_answers(settings, materials.evaluators(values).identities)
    materials.files(settings)


def _command(composed: Composed) -> str:
    return shlex.join(["surgery", *composed.overrides])


def _choice(values: Sequence[Mapping[str, Any]]) -> Choice | None:
    """How the best cell is picked: only where all cells measure the same things is there one."""
    rules = {Choice.of(value["evaluation"].get("choose")) for value in values}
    return rules.pop() if len(rules) == 1 else None


def _ruled(composed: Sequence[Composed], choice: Choice | None, materials: Materials) -> list[str]:
    """Says where the rule asks for what is not measured, as what an evaluation or a behavior comes with may.

    Raises:
        InputError: where the rule was typed.
    """
    if choice is None:
        return []
    values = composed[0].values
    evaluators = materials.evaluators(values).made
    said = unmeasured(named_by(choice), evaluators, bool(values["evaluation"]["probe_loss"]))
    if said and any(override.lstrip("+").startswith("evaluation.choose") for override in composed[0].overrides):
        raise InputError(said)
    return [f"{said}; no best cell can be chosen"] if said else []


def _writable(values: Mapping[str, Any]) -> Path:
    sweep, output_dir = values["sweep"], Path(values["output_dir"]).expanduser()
    if not is_name(sweep):
        raise InputError(f"sweep={sweep} can't name a folder; use letters, digits and . _ - only, at most 200 bytes")
    nearest = next(folder for folder in (output_dir, *output_dir.absolute().parents) if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"output_dir={output_dir} can't be written to: '{nearest}' does not let this user write")
    return output_dir


def _require_method(settings: Settings) -> None:
    """Raises InputError for keys of other groups that the method can't be combined with."""
    method, component = settings.method, settings.region.component
    if method.needs.components and component not in method.needs.components:
        raise InputError(
            f"method={method.name} needs rows of {' or '.join(method.needs.components)}, "
            f"and region.component is {component}"
        )
    if method.needs.probe_a_layer and settings.probe.method == "file":
        raise InputError(
            f"method={method.name} fits a probe at each of its layers, and probe=file has one; "
            "say probe=mean_difference, or method=activation_addition for one layer"
        )


def _experiment(settings: Settings, values: dict[str, Any], command: str, materials: Materials) -> Experiment:
    model = materials.models.facts(settings)
    depth = model.depth
    earlier = materials.models.earlier(settings)
    require_adapters(settings, earlier)
    probe = materials.models.probe(settings)
    layer = cell_layer(settings, depth, probe)
    component = settings.region.component
    layers = chosen_layers(settings, depth, model.layers(component))
    rows = model.rows(component, layers)
    asked = settings.top_k or PAPER_SHARE
    top_k = max(1, round(asked * rows)) if isinstance(asked, float) else asked
    require_top_k(top_k, rows, component)
    texts = materials.texts(settings)
    pairs = materials.pairs(settings)
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
        layers=method_layers(settings, depth),
        pairs_fingerprint=pairs.fingerprint if pairs else None,
        engine_version=materials.engine_version(settings),
    )
    return Experiment(
        cell=cell,
        texts=texts,
        evaluators=evaluators.made,
        probe_loss=probe_loss,
        config=values,
        command=command,
        earlier=earlier,
        pairs=pairs,
    )
