"""A process that keeps a model: each stage of a cell is made once and shared by all cells that need it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from surgery.errors import InputError
from surgery.fingerprints import fingerprint
from surgery.hidden_states import HiddenStates, collect_hidden_states
from surgery.intervention import Intervention
from surgery.locator import layer_count
from surgery.models import load_model
from surgery.probe import Probe
from surgery.probe_fitting import fit_probe
from surgery.ranking import RowRanking, rank_rows
from surgery.region import Region
from surgery.safetensors_file import save_tensors
from sweeps.batch_limits import BatchLimits
from sweeps.canonical import canonical_json
from sweeps.cell import ModelSettings
from sweeps.chain_files import applied
from sweeps.interventions import make_intervention
from sweeps.kept_digests import KeptDigests
from sweeps.measured_stages import Loaded, MeasuredStages
from sweeps.plan import Experiment, chosen_layers
from sweeps.stages import probe_identity, ranking_identity, states_identity
from sweeps.store import Store

STATES, PROBE, RANKING = "states.safetensors", "probe.safetensors", "ranking.safetensors"
# What is noted with the hidden states, in their file's metadata.
NOTES = "notes"
# What is noted with the hidden states, in their file's metadata.
NOTES = "notes"

T = TypeVar("T")


class Session(MeasuredStages):
    """Keeps the last model, and what the stages made: on disk in the store, or in memory.

    Args:
        store: where hidden states, probes, rankings and measurements are kept.
        experiments: all cells that will be asked for, so that texts are read once for all their layers.
        progress: show bars with the time that is left.
    """

    def __init__(self, store: Store, experiments: Iterable[Experiment], progress: bool = False) -> None:
        self._store = store
        self.progress = progress
        self._loaded: tuple[str, Loaded] | None = None
        self._ranking: tuple[str, RowRanking] | None = None
        self._limits = BatchLimits(store)
        self._layers: dict[str, set[int]] = {}
        self._used: dict[str, set[str]] = {}
        self.expect(experiments)

    def expect(self, experiments: Iterable[Experiment]) -> None:
        """Says which further cells will be asked for, so that texts are read once for all their layers."""
        for experiment in experiments:
            key = canonical_json(states_identity(experiment.cell))
            self._layers.setdefault(key, set()).add(experiment.cell.layer)

    @contextmanager
    def subject(self, experiment: Experiment) -> Iterator[None]:
        """The model that is probed and edited: with what the cell's composition names, for the body of a `with`."""
        model, _ = self.model(experiment.cell.settings.model)
        # Applied already where the whole cell's chain is being measured.
        missing = experiment.earlier if fingerprint(model) == experiment.cell.model_fingerprint else ()
        with applied(missing, model):
            yield

    def model(self, settings: ModelSettings) -> Loaded:
        """The model and tokenizer, loaded unless it is the last one that was asked for."""
        arguments: dict[str, Any] = {
            "path": settings.path,
            "revision": settings.revision,
            "gguf": settings.gguf,
            "dtype": settings.dtype,
            "device": settings.device,
            "trust_remote_code": settings.trust_remote_code,
            "date": settings.date,
        }
        key = canonical_json(arguments)
        if self._loaded is None or self._loaded[0] != key:
            # The old one goes before the new one comes: two may not fit.
            self._loaded = self._ranking = None
            self._loaded = (key, load_model(**arguments, keep=KeptDigests(self._store.root)))
            self._limits.recall(self._loaded[1][0])
        return self._loaded[1]

    def states(self, experiment: Experiment) -> torch.Tensor:
        """Pooled hidden states [n, d] of the behavior's texts at the cell's layer."""
        cell = experiment.cell
        stage, shared = "hidden_states", states_identity(cell)
        identity = shared | {"layer": cell.layer}
        if self._store.find(stage, identity) is None:
            # One lock for all layers: they are made in one reading of the texts.
            with self._store.locked(stage, shared):
                self._collect_states(experiment, shared)
        return self.kept(
            experiment,
            stage,
            identity,
            lambda folder: _save_states(self._features(experiment, [cell.layer]), cell.layer, folder),
            lambda folder: load_file(folder / STATES)["features"],
        )

    def states_batches(self, experiment: Experiment) -> dict[str, Any]:
        """The notes of the batches that the cell's hidden states were made in; none where they are not in the store."""
        return self._states_notes(experiment, "batches")

    def shown_texts(self, experiment: Experiment) -> dict[str, Any]:
        """What the model was shown of the behavior's texts: the first of them, and a SHA-256 of all in their order."""
        return self._states_notes(experiment, "shown")

    def _states_notes(self, experiment: Experiment, name: str) -> dict[str, Any]:
        cell = experiment.cell
        place = self._store.find("hidden_states", states_identity(cell) | {"layer": cell.layer})
        if place is None:
            return {}
        with safe_open(place / STATES, "pt") as opened:
            return dict(json.loads((opened.metadata() or {})[NOTES])[name])

    def _collect_states(self, experiment: Experiment, shared: Mapping[str, Any]) -> None:
        """Makes the states of all layers that will be asked for and are not there."""
        wanted = self._layers.get(canonical_json(shared), {experiment.cell.layer})
        identities = {layer: {**shared, "layer": layer} for layer in sorted(wanted)}
        missing = [layer for layer, one in identities.items() if self._store.find("hidden_states", one) is None]
        if missing:
            states = self._features(experiment, missing)
            for layer in states:
                self._store.get_or_make("hidden_states", identities[layer], partial(_save_states, states, layer))

    def _features(self, experiment: Experiment, layers: list[int]) -> HiddenStates:
        cell = experiment.cell
        with self.subject(experiment):
            return collect_hidden_states(
                *self.model(cell.settings.model),
                experiment.texts.texts,
                layers,
                max_length=cell.settings.behavior.max_length,
                chat=cell.settings.behavior.chat,
                progress=self.progress,
            )

    def behavior_probe(self, experiment: Experiment) -> Probe:
        """The probe that rows are ranked with; for `probe=random` the one it replaces."""
        cell = experiment.cell
        probe = cell.settings.probe
        if probe.method == "file":
            loaded = Probe.load(Path(str(probe.path)).expanduser())
            return replace(loaded, layer=cell.layer, metrics=loaded.metrics)
        method = "adam" if probe.method == "random" else probe.method
        # The probe was made from them, whether or not they had to be read.
        self._note(experiment, "hidden_states", states_identity(cell) | {"layer": cell.layer})
        return self._kept_probe(experiment, method, lambda: self._fit(experiment, method))

    def direction_probe(self, experiment: Experiment) -> Probe:
        """The probe whose direction is added to the rows."""
        behavior_probe = self.behavior_probe(experiment)
        if experiment.cell.settings.probe.method != "random":
            return behavior_probe
        return self._kept_probe(experiment, "random", lambda: self._fit(experiment, "random", behavior_probe))

    def _kept_probe(self, experiment: Experiment, method: str, fit: Callable[[], Probe]) -> Probe:
        return self.kept(
            experiment,
            "probe",
            probe_identity(experiment.cell, method),
            lambda folder: fit().save(folder / PROBE),
            lambda folder: Probe.load(folder / PROBE),
        )

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
            texts=texts.texts,
            replaces=replaces,
            classes=texts.classes,
            layer=cell.layer,
            model_fingerprint=cell.subject_fingerprint,
            data_fingerprint=texts.fingerprint,
        )

    def require_same_model(self, experiment: Experiment) -> None:
        """Raises InputError when the model is no longer the one the cell was planned with."""
        cell = experiment.cell
        model, _ = self.model(cell.settings.model)
        path, now = cell.settings.model.path, fingerprint(model)
        if now != cell.model_fingerprint:
            raise InputError(
                f"model.path '{path}' changed while this ran: it was {cell.model_fingerprint}, now it is {now}"
            )

    def region(self, experiment: Experiment) -> Region:
        """The rows to edit, by the behavior probe's direction."""
        cell = experiment.cell
        settings = cell.settings.region
        self.require_same_model(experiment)
        model, _ = self.model(cell.settings.model)
        ranking = self.ranking(experiment)
        ranking = ranking.within(chosen_layers(cell.settings, layer_count(model), ranking.homes))
        if settings.rule == "random":
            return ranking.random(cell.top_k, cell.settings.seed, settings.per_layer)
        choose = ranking.lowest if settings.rule == "lowest" else ranking.highest
        return choose(cell.top_k, settings.per_layer)

    def ranking(self, experiment: Experiment) -> RowRanking:
        """The order of all rows; the last one stays in memory, for the cells of a grid that share it."""
        settings = experiment.cell.settings
        probe = self.behavior_probe(experiment)
        identity = ranking_identity(experiment.cell, probe.fingerprint)
        key = self._note(experiment, "ranking", identity)
        if self._ranking is None or self._ranking[0] != key:

            def rank(folder: Path) -> None:
                model, _ = self.model(settings.model)
                with self.subject(experiment):
                    ranking = rank_rows(model, probe.direction(1), settings.region.component)
                ranking.save(folder / RANKING)

            ranking = self.kept(experiment, "ranking", identity, rank, lambda folder: RowRanking.load(folder / RANKING))
            self._ranking = (key, ranking)
        return self._ranking[1]

    def edit(self, experiment: Experiment) -> Intervention:
        """The cell's edit, or what its `method` does in place of one."""
        return make_intervention(self, experiment)

    def kept(
        self,
        experiment: Experiment,
        stage: str,
        identity: Mapping[str, Any],
        make: Callable[[Path], None],
        load: Callable[[Path], T],
    ) -> T:
        """What `load` reads from an entry of the store, which `make` makes when it is not there."""
        self._note(experiment, stage, identity)
        found = self._store.use(stage, identity, make, load)
        if self._loaded is not None:
            self._limits.keep(self._loaded[1][0])
        return found

    def used(self, experiment: Experiment) -> list[str]:
        """The entries of the store that the cell's result rests on, as `stage/key`, sorted; whole once it has run."""
        return sorted(self._used.get(experiment.cell.id, ()))

    def _note(self, experiment: Experiment, stage: str, identity: Mapping[str, Any]) -> str:
        name = self._store.name(stage, identity)
        self._used.setdefault(experiment.cell.id, set()).add(name)
        return name


def _save_states(states: HiddenStates, layer: int, folder: Path) -> None:
    shown = {"first": states.shown[0], "sha256": states.texts_fingerprint}
    # One word of metadata: safetensors writes several in an order of chance, and equal states are equal files.
    notes = {NOTES: canonical_json({"batches": states.batches, "shown": shown})}
    save_tensors({"features": states[layer].contiguous()}, folder / STATES, metadata=notes)
