"""A process that keeps a model: each stage of a cell is made once and shared by all cells that need it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from evaluation.measurement import Measurement
from evaluation.measurement_files import load_measurements, save_measurements
from evaluation.probe_loss import probe_loss
from surgery.edit import Edit
from surgery.errors import InputError
from surgery.fingerprints import fingerprint
from surgery.hidden_states import collect_hidden_states
from surgery.models import load_model
from surgery.probe import Probe
from surgery.probe_fitting import fit_probe, split_texts
from surgery.ranking import RowRanking, rank_rows
from surgery.region import Region
from sweeps.canonical import canonical_json
from sweeps.cell import ModelSettings
from sweeps.plan import Experiment, chosen_layers
from sweeps.stages import base_identity, losses_identity, probe_identity, states_identity
from sweeps.store import Store

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# The probe's loss on edited models is taken on at most so many of its test texts.
LOSS_TEXTS = 400

Loaded = tuple["PreTrainedModel", "PreTrainedTokenizerBase"]


class Session:
    """Keeps the last model, and what the stages made: on disk in the store, or in memory.

    Args:
        store: where hidden states, probes and base measurements are kept.
        experiments: all cells that will be asked for, so that texts are read once for all their layers.
        progress: show bars with the time that is left.
    """

    def __init__(self, store: Store, experiments: Iterable[Experiment], progress: bool = False) -> None:
        self._store = store
        self._progress = progress
        self._loaded: tuple[str, Loaded] | None = None
        self._ranking: tuple[str, RowRanking] | None = None
        self._layers: dict[str, set[int]] = {}
        self.expect(experiments)

    def expect(self, experiments: Iterable[Experiment]) -> None:
        """Says which further cells will be asked for, so that texts are read once for all their layers."""
        for experiment in experiments:
            key = canonical_json(states_identity(experiment.cell))
            self._layers.setdefault(key, set()).add(experiment.cell.layer)

    def model(self, settings: ModelSettings) -> Loaded:
        """The model and tokenizer, loaded unless it is the last one that was asked for."""
        arguments: dict[str, Any] = {
            "path": settings.path,
            "revision": settings.revision,
            "dtype": settings.dtype,
            "device": settings.device,
            "trust_remote_code": settings.trust_remote_code,
        }
        key = canonical_json(arguments)
        if self._loaded is None or self._loaded[0] != key:
            # The old one goes before the new one comes: two may not fit.
            self._loaded = self._ranking = None
            self._loaded = (key, load_model(**arguments))
        return self._loaded[1]

    def states(self, experiment: Experiment) -> torch.Tensor:
        """Pooled hidden states [n, d] of the behavior's texts at the cell's layer."""
        cell = experiment.cell
        stage, shared = "hidden_states", states_identity(cell)
        identity = shared | {"layer": cell.layer}
        if not self._store.has(stage, identity):
            model, tokenizer = self.model(cell.settings.model)
            wanted = self._layers.get(canonical_json(shared), {cell.layer})
            missing = sorted(layer for layer in wanted if not self._store.has(stage, shared | {"layer": layer}))
            found = collect_hidden_states(
                model,
                tokenizer,
                experiment.texts.texts,
                missing,
                max_length=cell.settings.behavior.max_length,
                progress=self._progress,
            )
            for layer, features in found.items():
                self._store.get_or_make(stage, shared | {"layer": layer}, _writer(features))
        entry = self._store.get_or_make(stage, identity, _nothing_to_make)
        return load_file(entry / "states.safetensors")["features"]

    def behavior_probe(self, experiment: Experiment) -> Probe:
        """The probe that rows are ranked with; for `probe=random` the one it replaces."""
        cell = experiment.cell
        probe = cell.settings.probe
        if probe.method == "file":
            loaded = Probe.load(Path(str(probe.path)).expanduser())
            return replace(loaded, layer=cell.layer, metrics=loaded.metrics)
        method = "adam" if probe.method == "random" else probe.method
        identity = probe_identity(cell, method)
        entry = self._store.get_or_make(
            "probe", identity, lambda folder: self._fit(experiment, method).save(folder / "probe.safetensors")
        )
        return Probe.load(entry / "probe.safetensors")

    def direction_probe(self, experiment: Experiment) -> Probe:
        """The probe whose direction is added to the rows."""
        behavior_probe = self.behavior_probe(experiment)
        if experiment.cell.settings.probe.method != "random":
            return behavior_probe
        identity = probe_identity(experiment.cell, "random")
        entry = self._store.get_or_make(
            "probe",
            identity,
            lambda folder: self._fit(experiment, "random", behavior_probe).save(folder / "probe.safetensors"),
        )
        return Probe.load(entry / "probe.safetensors")

    def _fit(self, experiment: Experiment, method: str, replaces: Probe | None = None) -> Probe:
        cell, texts = experiment.cell, experiment.texts
        given = cell.settings.probe
        names = ("lr", "epochs", "batch_size", "weight_decay")
        numbers = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
        return fit_probe(
            self.states(experiment),
            texts.labels,
            method,
            **numbers,
            test_share=given.test_share,
            seed=cell.settings.seed,
            replaces=replaces,
            classes=texts.classes,
            layer=cell.layer,
            model_fingerprint=cell.model_fingerprint,
            data_fingerprint=texts.fingerprint,
        )

    def region(self, experiment: Experiment) -> Region:
        """The rows to edit, by the behavior probe's direction."""
        cell = experiment.cell
        settings = cell.settings.region
        model, _ = self.model(cell.settings.model)
        if fingerprint(model) != cell.model_fingerprint:
            raise InputError(
                f"model.path '{cell.settings.model.path}' changed while this ran: it was {cell.model_fingerprint}, "
                f"now it is {fingerprint(model)}"
            )
        probe = self.behavior_probe(experiment)
        key = canonical_json([cell.model_fingerprint, settings.component, probe.fingerprint])
        if self._ranking is None or self._ranking[0] != key:
            self._ranking = (key, rank_rows(model, probe.direction(1), settings.component))
        ranking = self._ranking[1]
        ranking = ranking.within(chosen_layers(cell.settings, max(ranking.homes)))
        if settings.rule == "random":
            return ranking.random(cell.top_k, cell.settings.seed, settings.per_layer)
        choose = ranking.lowest if settings.rule == "lowest" else ranking.highest
        return choose(cell.top_k, settings.per_layer)

    def edit(self, experiment: Experiment) -> Edit:
        """The cell's edit."""
        settings = experiment.cell.settings
        direction = self.direction_probe(experiment).direction(1)
        return Edit(direction, settings.alpha, self.region(experiment), settings.alpha_unit)

    def base(self, experiment: Experiment) -> list[Measurement]:
        """What the unedited model measures, each evaluator once for all cells that share it."""
        found = []
        for name, evaluator in experiment.evaluators.items():
            identity = base_identity(experiment.cell, name)

            def measure(folder: Path, evaluator: Any = evaluator) -> None:
                model, tokenizer = self.model(experiment.cell.settings.model)
                save_measurements(evaluator.measure(model, tokenizer, self._progress), folder / "base.parquet")

            entry = self._store.get_or_make("base", identity, measure)
            found += load_measurements(entry / "base.parquet")
        if experiment.probe_loss:
            identity = losses_identity(experiment.cell, self.direction_probe(experiment).fingerprint)
            entry = self._store.get_or_make(
                "base",
                identity,
                lambda folder: save_measurements(self.probe_losses(experiment), folder / "base.parquet"),
            )
            found += load_measurements(entry / "base.parquet")
        return found

    def edited(self, experiment: Experiment) -> list[Measurement]:
        """What the model measures as it is now, with the edit applied by the caller."""
        model, tokenizer = self.model(experiment.cell.settings.model)
        found: list[Measurement] = []
        for evaluator in experiment.evaluators.values():
            found += evaluator.measure(model, tokenizer, self._progress)
        if experiment.probe_loss:
            found += self.probe_losses(experiment)
        return found

    def probe_losses(self, experiment: Experiment) -> list[Measurement]:
        """The probe's loss a class on its test texts (Table 13), on the model as it is now."""
        cell, texts = experiment.cell, experiment.texts
        model, tokenizer = self.model(cell.settings.model)
        chosen = loss_texts(texts.labels, cell.settings.probe.test_share, cell.settings.seed)
        return probe_loss(
            model,
            tokenizer,
            self.direction_probe(experiment),
            [texts.texts[i] for i in chosen],
            [texts.labels[i] for i in chosen],
            ids=[str(i) for i in chosen],
            max_length=cell.settings.behavior.max_length,
        )


def loss_texts(labels: Sequence[int], test_share: float, seed: int) -> list[int]:
    """Indices of the test texts that the probe's loss is taken on: evenly spaced, at most LOSS_TEXTS in all."""
    _, test = split_texts(labels, test_share, seed)
    chosen: list[int] = []
    for label in (0, 1):
        of_class = [int(i) for i in test if labels[i] == label]
        stride = -(-len(of_class) // (LOSS_TEXTS // 2))
        chosen += of_class[:: max(1, stride)]
    return sorted(chosen)


def _writer(features: torch.Tensor) -> Callable[[Path], None]:
    return lambda folder: save_file({"features": features.contiguous()}, folder / "states.safetensors")


def _nothing_to_make(folder: Path) -> None:
    raise RuntimeError(f"{folder}: the hidden states were just written and are not there")
