"""What each stage's result depends on: the keys of the store."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sweeps.cell.cell import Cell, renders_chat
from sweeps.plan.experiment import Experiment

# Raised when a stage makes something else from the same settings than before.
VERSIONS = {
    "trained": 4,
    "hidden_states": 4,
    "probe": 3,
    "ranking": 1,
    "base": 2,
    "edited": 2,
    "probe_prompts": 1,
}


def _model_identity(cell: Cell, stage: str, fingerprint: str) -> dict[str, Any]:
    model = cell.settings.model
    read = cell.model_identity.reading()
    return {"version": VERSIONS[stage], "model": [fingerprint, *read, model.dtype, model.chat]}


def states_identity(cell: Cell) -> dict[str, Any]:
    """Of the hidden states of all layers; one layer's adds its number."""
    read = {"texts": cell.texts_identity(), **cell.pooling_identity()}
    return _model_identity(cell, "hidden_states", cell.subject_fingerprint) | read


def probe_identity(cell: Cell, method: str, layer: int | None = None) -> dict[str, Any]:
    """Of a probe fitted by a method, with the cell's settings otherwise.

    Args:
        layer: whose states it reads; None for the cell's own.
    """
    probe: Mapping[str, Any] = cell.identity()["probe"]
    return states_identity(cell) | {
        "version": VERSIONS["probe"],
        "layer": layer or cell.layer,
        "probe": dict(probe) | {"method": method},
        "seed": cell.settings.seed,
    }


def trained_identity(cell: Cell, method: str, probe_fingerprint: str | None = None) -> dict[str, Any]:
    """Of what a method trains, weights or the factors of their change; alpha only says how much of it is taken.

    Args:
        method: that trains it, with the numbers of the cell's own.
        probe_fingerprint: of the probe it is trained against, and so of the tokens whose states it reads; None for
            methods that look at the texts alone.
    """
    return _model_identity(cell, "trained", cell.subject_fingerprint) | {
        "texts": cell.texts_identity(),
        "method": replace(cell.settings.method, name=method).identity(),
        **({"pairs": cell.pairs_fingerprint} if cell.pairs_fingerprint else {}),
        "probe": probe_fingerprint,
        "split": [cell.settings.probe.test_share, cell.settings.seed],
    }


def ranking_identity(cell: Cell, probe_fingerprint: str) -> dict[str, Any]:
    """Of the order of all rows by their cosine with a probe's direction; no other setting counts."""
    return {
        "version": VERSIONS["ranking"],
        "model": [cell.subject_fingerprint, cell.settings.model.dtype],
        "component": cell.settings.region.component,
        "probe": probe_fingerprint,
    }


def base_identity(cell: Cell, evaluator: str) -> dict[str, Any]:
    """Of what one evaluator measures on the unedited model."""
    measured = cell.evaluation[evaluator]
    model = cell.settings.model
    rendered = {"date": model.date, **model.framing().identity()} if renders_chat(measured) else {}
    return _model_identity(cell, "base", cell.model_fingerprint) | {
        "evaluator": measured,
        **rendered,
        **cell.engine_identity(),
    }


def probe_prompts_identity(cell: Cell, edited: str | None = None) -> dict[str, Any]:
    """Of what the model in memory makes of the texts that a server is tried on, with an edit or without.

    Args:
        edited: the fingerprint of the model with the edit.
    """
    found = _model_identity(cell, "probe_prompts", cell.model_fingerprint) | {"texts": cell.texts_identity()}
    return found | ({"edited": edited} if edited else {})


def losses_identity(cell: Cell, probe_fingerprint: str) -> dict[str, Any]:
    """Of the base's probe losses: they depend on the probe and on which of its texts are test texts."""
    return {
        **_model_identity(cell, "base", cell.model_fingerprint),
        "texts": cell.texts_identity(),
        "probe": probe_fingerprint,
        "split": [cell.settings.probe.test_share, cell.settings.seed, "different texts"],
    }


def edited_identity(base: Mapping[str, Any], edited_fingerprint: str) -> dict[str, Any]:
    """Of what is measured on an edited model, from what it is on the base.

    Args:
        base: `base_identity` or `losses_identity`.
        edited_fingerprint: of the model with the edit applied: of the base, and of direction, alpha and region.
    """
    return dict(base) | {"version": VERSIONS["edited"], "edited": edited_fingerprint}


def stage_identities(experiment: Experiment) -> list[tuple[str, dict[str, Any]]]:
    """(stage, identity) of everything in the store that a cell will ask for and that can be named beforehand."""
    cell = experiment.cell
    found: list[tuple[str, dict[str, Any]]] = []
    fitted = cell.settings.probe.method != "file"
    read = {*cell.layers, *([cell.layer] if fitted else [])}
    found += [("hidden_states", states_identity(cell) | {"layer": layer}) for layer in sorted(read)]
    if fitted:
        method = cell.settings.probe.method
        found += [("probe", probe_identity(cell, method, layer)) for layer in sorted(cell.probed_layers)]
    return found + [("base", base_identity(cell, name)) for name in experiment.evaluators]
