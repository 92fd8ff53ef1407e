"""Probe: fitted to the hidden states, or read from a file."""

from dataclasses import replace
from pathlib import Path

import torch

from surgery.probe.probe import Probe
from surgery.probe.probe_fitting import fit_probe
from sweeps.cell.cell import Cell
from sweeps.run.stage import Stage
from sweeps.run.stage_identities import probe_identity
from sweeps.run.states_stage import hidden_states
from sweeps.run.workbench import CellWork
from sweeps.store.store import Store

NAME, FILE = "probe", "probe.safetensors"
NUMBERS = ("lr", "epochs", "batch_size", "weight_decay")


def behavior_probe(work: CellWork, states: Stage[torch.Tensor], layer: int | None = None) -> Probe:
    """The probe that rows are ranked with; for `probe=random` the one it replaces.

    Args:
        work: the cell.
        states: that it is fitted to.
        layer: theirs; None for the cell's own.
    """
    given = work.cell.settings.probe
    if given.method == "file":
        return replace(Probe.load(Path(str(given.path)).expanduser()), layer=work.cell.layer)
    # The probe was made from them, whether or not they had to be read.
    work.note(states)
    return work.take(_fitted(work, states, "adam" if given.method == "random" else given.method, layer))


def direction_probe(work: CellWork, states: Stage[torch.Tensor], behavior: Probe, layer: int | None = None) -> Probe:
    """The probe whose direction is added to the rows; the arguments are those of `behavior_probe`, and what it gave."""
    if work.cell.settings.probe.method != "random":
        return behavior
    return work.take(_fitted(work, states, "random", layer, replaces=behavior))


def kept_probe(store: Store, cell: Cell) -> Probe | None:
    """The probe whose direction is added to the rows, where the store has it; not for one from a file."""
    place = store.find(NAME, probe_identity(cell, cell.settings.probe.method))
    return None if place is None else Probe.load(place / FILE)


def layer_probes(work: CellWork) -> dict[int, Probe]:
    """{layer: the probe whose direction is taken there}, of each layer of the cell's method."""
    found = {}
    for layer in work.cell.layers:
        states = hidden_states(work, layer)
        found[layer] = direction_probe(work, states, behavior_probe(work, states, layer), layer)
        work.let_go(states)
    return found


def _fitted(
    work: CellWork,
    states: Stage[torch.Tensor],
    method: str,
    layer: int | None,
    replaces: Probe | None = None,
) -> Stage[Probe]:
    cell, texts, given = work.cell, work.experiment.texts, work.cell.settings.probe
    numbers = {name: getattr(given, name) for name in NUMBERS if getattr(given, name) is not None}

    def fit(folder: Path) -> None:
        probe = fit_probe(
            work.take(states),
            texts.labels,
            method,
            **numbers,
            test_share=given.test_share,
            seed=cell.settings.seed,
            texts=texts.texts,
            replaces=replaces,
            classes=texts.classes,
            layer=layer or cell.layer,
            pooling=cell.settings.behavior.pooling,
            model_fingerprint=cell.subject_fingerprint,
            data_fingerprint=texts.fingerprint,
        )
        probe.save(folder / FILE)

    return Stage(NAME, probe_identity(cell, method, layer), fit, lambda folder: Probe.load(folder / FILE))
