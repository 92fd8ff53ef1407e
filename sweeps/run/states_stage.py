"""States: the pooled hidden states of the behavior's texts at the cell's layer."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from surgery.files.tensor_file import save_tensors
from surgery.states.hidden_states import HiddenStates, collect_hidden_states
from surgery.texts.text_split import split_texts
from sweeps.cell.canonical_json import canonical_json
from sweeps.run.stage import Stage
from sweeps.run.stage_identities import states_identity
from sweeps.run.workbench import CellWork

NAME, FILE = "hidden_states", "states.safetensors"
# What is noted with the hidden states, in their file's metadata.
NOTES = "notes"


def hidden_states(work: CellWork, layer: int | None = None) -> Stage[torch.Tensor]:
    """Features [n, d], float32. The texts are read once for all layers that the process's cells ask for.

    Args:
        work: the cell.
        layer: one of those that its method reads; None for the cell's own.
    """
    layer = layer or work.cell.layer
    return Stage(
        NAME,
        states_identity(work.cell) | {"layer": layer},
        make=lambda folder: _save(_collect(work, [layer]), layer, folder),
        load=lambda folder: load_file(folder / FILE)["features"],
        prepare=lambda: _make_all_layers(work),
    )


def training_states(work: CellWork, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The hidden states of the training texts to keep, [n0, d], and of those to move away from, [n1, d]."""
    settings, labels = work.cell.settings, work.experiment.texts.labels
    training, _ = split_texts(labels, settings.probe.test_share, settings.seed, work.experiment.texts.texts)
    stage = hidden_states(work, layer)
    features = work.take(stage)
    work.let_go(stage)
    keep, avoid = ([int(i) for i in training if labels[i] == label] for label in (0, 1))
    return features[keep], features[avoid]


def states_batches(work: CellWork) -> dict[str, Any]:
    """The notes of the batches that the cell's hidden states were made in; none where they are not in the store."""
    return _notes(work, "batches")


def shown_texts(work: CellWork) -> dict[str, Any]:
    """What the model was shown of the behavior's texts: the first of them, and a SHA-256 of all in their order."""
    return _notes(work, "shown")


def _make_all_layers(work: CellWork) -> None:
    """Makes the states of all layers that will be asked for and are not there, under one lock: it is one reading."""
    store, shared = work.bench.store, states_identity(work.cell)
    with store.locked(NAME, shared):
        identities = {layer: {**shared, "layer": layer} for layer in work.bench.layers(work.cell)}
        missing = [layer for layer, identity in identities.items() if store.find(NAME, identity) is None]
        if missing:
            states = _collect(work, missing)
            for layer in states:
                store.get_or_make(NAME, identities[layer], partial(_save, states, layer))


def _collect(work: CellWork, layers: list[int]) -> HiddenStates:
    behavior = work.cell.settings.behavior
    with work.subject():
        return collect_hidden_states(
            *work.loaded,
            work.experiment.texts.texts,
            layers,
            max_length=behavior.max_length,
            chat=behavior.chat,
            pooling=behavior.pooling,
            progress=work.bench.progress,
        )


def _save(states: HiddenStates, layer: int, folder: Path) -> None:
    shown = {"first": states.shown[0], "sha256": states.texts_fingerprint}
    # One word of metadata: safetensors writes several in an order of chance, and equal states are equal files.
    notes = {NOTES: canonical_json({"batches": states.batches, "shown": shown})}
    save_tensors({"features": states[layer].contiguous()}, folder / FILE, metadata=notes)


def _notes(work: CellWork, name: str) -> dict[str, Any]:
    place = work.entry(hidden_states(work))
    if place is None:
        return {}
    with safe_open(place / FILE, "pt") as opened:
        return dict(json.loads((opened.metadata() or {})[NOTES])[name])
