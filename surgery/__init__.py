"""Model surgery: change a language model's behavior by adding a probe's direction to a few of its rows.

The method of Wang et al., "Model Surgery: Modulating LLM's Behavior via Simple Parameter Editing"
(NAACL 2025, arXiv 2407.08770), Equations 1 to 3.

Names load on first use, so that `import surgery` stays free of torch for the commands that don't need it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surgery.changes.receipt import Receipt
    from surgery.edits.edit import Edit
    from surgery.errors import InputError
    from surgery.model.fingerprints import fingerprint
    from surgery.model.loading import load_model
    from surgery.probe.probe import Probe
    from surgery.probe.probe_fitting import fit_probe
    from surgery.region.ranking import RowRanking, rank_rows
    from surgery.region.region import Region
    from surgery.states.hidden_states import HiddenStates, collect_hidden_states

_HOME = {
    "Edit": "surgery.edits.edit",
    "Receipt": "surgery.changes.receipt",
    "InputError": "surgery.errors",
    "fingerprint": "surgery.model.fingerprints",
    "HiddenStates": "surgery.states.hidden_states",
    "collect_hidden_states": "surgery.states.hidden_states",
    "load_model": "surgery.model.loading",
    "Probe": "surgery.probe.probe",
    "fit_probe": "surgery.probe.probe_fitting",
    "RowRanking": "surgery.region.ranking",
    "rank_rows": "surgery.region.ranking",
    "Region": "surgery.region.region",
}

__all__ = [
    "Edit",
    "HiddenStates",
    "InputError",
    "Probe",
    "Receipt",
    "Region",
    "RowRanking",
    "collect_hidden_states",
    "fingerprint",
    "fit_probe",
    "load_model",
    "rank_rows",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'surgery' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
