"""Everything that can be checked before a model is loaded, and what the cells then need."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig

from surgery.errors import InputError
from surgery.files import verify_checksums
from surgery.texts import LabelledTexts, read_texts
from sweeps.canonical import canonical_json
from sweeps.cell import Cell, Settings
from sweeps.choice import Choice
from sweeps.settings import plain, read_settings

if TYPE_CHECKING:
    from evaluation.evaluator import Evaluator
    from surgery.probe import Probe


@dataclass(frozen=True)
class Experiment:
    """A cell and what it is run with.

    Attributes:
        cell: the experiment.
        texts: of its behavior.
        evaluators: what is measured, by name.
        probe_loss: whether the probe's loss is measured too.
        config: the composed config, for the record.
    """

    cell: Cell
    texts: LabelledTexts
    evaluators: Mapping[str, "Evaluator"]
    probe_loss: bool
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """The cells of one command, checked, without duplicates, in the order they were asked for."""

    experiments: tuple[Experiment, ...]
    sweep: str
    output_dir: Path
    choice: Choice | None
    tracking: Mapping[str, Any]
    dry_run: bool = False
    fail_fast: bool = False
    retry_failed: bool = False

    @property
    def sweep_folder(self) -> Path:
        """Where the records go."""
        return self.output_dir / "runs" / self.sweep

    @property
    def store_folder(self) -> Path:
        """Where what the stages make is kept."""
        return self.output_dir / "store"


@dataclass
class _Materials:
    """What cells share, read once."""

    texts: dict[str, LabelledTexts] = field(default_factory=dict)
    evaluators: dict[str, dict[str, "Evaluator"]] = field(default_factory=dict)
    models: dict[str, "_Model"] = field(default_factory=dict)


@dataclass(frozen=True)
class _Model:
    """What a model's folder tells without its weights being loaded."""

    skeleton: Any
    fingerprint: str


def make_plan(configs: Sequence[DictConfig]) -> Plan:
    """Checks all cells of a command, cheapest checks first.

    Raises:
        InputError: for the first thing that is wrong, whichever cell it is in.
    """
    values = [plain(config) for config in configs]
    settings = [read_settings(value) for value in values]
    first = values[0]
    for key in ("sweep", "output_dir", "tracking", "dry_run", "fail_fast", "retry_failed"):
        if any(value[key] != first[key] for value in values):
            raise InputError(f"{key} must be the same for all cells of a sweep; name the sweep with sweep=NAME")
    choice = _choice(values)
    output_dir = _writable(first)
    materials = _Materials()
    for one, value in zip(settings, values, strict=True):
        _read_texts(one, materials)
        _make_evaluators(value, materials)
        _check_model_files(one)
    experiments: dict[str, Experiment] = {}
    for one, value in zip(settings, values, strict=True):
        experiment = _experiment(one, value, materials)
        experiments.setdefault(experiment.cell.id, experiment)
    return Plan(
        experiments=tuple(experiments.values()),
        sweep=first["sweep"],
        output_dir=output_dir,
        choice=choice,
        tracking=first["tracking"],
        dry_run=bool(first["dry_run"]),
        fail_fast=bool(first["fail_fast"]),
        retry_failed=bool(first["retry_failed"]),
    )


def _choice(values: Sequence[Mapping[str, Any]]) -> Choice | None:
    """How the best cell is picked: only where all cells measure the same things is there one."""
    rules = [value["evaluation"].get("choose") for value in values]
    return Choice.parse(rules[0]) if rules[0] and all(rule == rules[0] for rule in rules) else None


def _writable(values: Mapping[str, Any]) -> Path:
    sweep, output_dir = values["sweep"], Path(values["output_dir"]).expanduser()
    if not re.fullmatch(r"[\w.+=,@-]+", str(sweep)) or str(sweep).startswith("."):
        raise InputError(f"sweep={sweep} can't name a folder; use letters, digits and . _ - only")
    nearest = next(folder for folder in (output_dir, *output_dir.absolute().parents) if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"output_dir={output_dir} can't be written to: '{nearest}' does not let this user write")
    return output_dir


def _read_texts(settings: Settings, materials: _Materials) -> LabelledTexts:
    behavior = settings.behavior
    key = canonical_json([str(behavior), settings.seed])
    if key not in materials.texts:
        if behavior.checksums:
            verify_checksums(behavior.checksums, [behavior.path])
        materials.texts[key] = read_texts(
            behavior.path,
            behavior.text,
            behavior.label,
            avoid=behavior.avoid,
            against=behavior.against,
            separator=behavior.separator,
            limit=behavior.limit,
            seed=settings.seed,
        )
    return materials.texts[key]


def _make_evaluators(values: Mapping[str, Any], materials: _Materials) -> dict[str, "Evaluator"]:
    evaluation = values["evaluation"]
    key = canonical_json(evaluation["measurements"])
    if key not in materials.evaluators:
        try:
            made = instantiate(evaluation["measurements"], _convert_="all")
        except HydraException as error:
            cause = error.__cause__
            raise (cause if isinstance(cause, InputError) else InputError(f"evaluation: {error}")) from None
        if evaluation["checksums"]:
            root = Path(evaluation["checksums"]).parent
            verify_checksums(evaluation["checksums"], [path for path in _paths(evaluation) if root in path.parents])
        for evaluator in made.values():
            evaluator.check()
        materials.evaluators[key] = made
    return materials.evaluators[key]


def _paths(values: Any) -> list[Path]:
    if isinstance(values, Mapping):
        return [path for value in values.values() for path in _paths(value)]
    if isinstance(values, list):
        return [path for value in values for path in _paths(value)]
    return [Path(values)] if isinstance(values, str) and os.sep in values else []


def _check_model_files(settings: Settings) -> None:
    """The parts of a model's check that need no torch."""
    from surgery.local_paths import names_a_folder, require_folder

    model = settings.model
    require_folder(model.path)
    if model.checksums and names_a_folder(model.path):
        verify_checksums(model.checksums, [Path(model.path).expanduser()])
    if settings.probe.method == "file" and not Path(str(settings.probe.path)).expanduser().is_file():
        raise InputError(f"probe.path '{settings.probe.path}' is not there; give a .safetensors or .pt file")


def _read_model(settings: Settings, materials: _Materials) -> _Model:
    from surgery.fingerprints import fingerprint, folder_fingerprint
    from surgery.model_files import model_folder, skeleton
    from surgery.models import load_model

    model = settings.model
    key = canonical_json([model.path, model.revision, model.trust_remote_code])
    if key not in materials.models:
        folder = model_folder(model.path, model.revision)
        found = folder_fingerprint(folder, model.trust_remote_code)
        if found is None:
            found = fingerprint(load_model(str(folder), device="cpu", trust_remote_code=model.trust_remote_code)[0])
        materials.models[key] = _Model(skeleton(folder, model.trust_remote_code), found)
    return materials.models[key]


def chosen_layers(settings: Settings, depth: int) -> list[int]:
    """The layers that rows may be chosen from: `region.layers` without `region.exclude_quarter`.

    Raises:
        InputError: for a layer above the depth, or when none is left.
    """
    from surgery.ranking import layers_without_quarter

    region = settings.region
    wanted = region.layers or list(range(1, depth + 1))
    for layer in wanted:
        if layer > depth:
            raise InputError(f"region.layers: layer {layer} is not in this model: its layers are 1 to {depth}")
    if region.exclude_quarter:
        kept = set(layers_without_quarter(depth, region.exclude_quarter))
        wanted = [layer for layer in wanted if layer in kept]
        if not wanted:
            raise InputError("region.layers and region.exclude_quarter leave no layer to choose rows from")
    return wanted


def _layer(settings: Settings, depth: int, probe: "Probe | None") -> int:
    layer = depth if settings.layer == "last" else settings.layer
    if layer > depth:
        raise InputError(f"layer={layer} is not in this model: its layers are 1 to {depth}, or last")
    if probe is not None and probe.layer not in (None, layer):
        raise InputError(f"the probe in '{settings.probe.path}' reads layer {probe.layer}; say layer={probe.layer}")
    return layer


def _probe_from_file(settings: Settings, model: _Model) -> "Probe | None":
    from surgery.probe import Probe

    if settings.probe.method != "file":
        return None
    probe = Probe.load(Path(str(settings.probe.path)).expanduser())
    probe.require_fit(
        width=model.skeleton.config.get_text_config().hidden_size,
        model_fingerprint=model.fingerprint,
        what=f"the probe in '{settings.probe.path}'",
    )
    return probe


def _experiment(settings: Settings, values: dict[str, Any], materials: _Materials) -> Experiment:
    from surgery.locator import layer_count, locate
    from surgery.ranking import PAPER_SHARE, require_top_k

    model = _read_model(settings, materials)
    depth = layer_count(model.skeleton)
    probe = _probe_from_file(settings, model)
    layer = _layer(settings, depth, probe)
    layers = chosen_layers(settings, depth)
    rows = sum(home.count for home in locate(model.skeleton, settings.region.component) if home.layer in layers)
    top_k = settings.top_k or max(1, round(PAPER_SHARE * rows))
    require_top_k(top_k, rows, settings.region.component)
    texts = _read_texts(settings, materials)
    evaluators = _make_evaluators(values, materials)
    probe_loss = bool(values["evaluation"]["probe_loss"])
    cell = Cell(
        settings=settings,
        layer=layer,
        top_k=top_k,
        model_fingerprint=model.fingerprint,
        texts_fingerprint=texts.fingerprint,
        probe_fingerprint=probe.fingerprint if probe else None,
        evaluation={name: evaluator.identity() for name, evaluator in evaluators.items()} | {"probe_loss": probe_loss},
    )
    return Experiment(cell=cell, texts=texts, evaluators=evaluators, probe_loss=probe_loss, config=values)
