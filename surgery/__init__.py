"""Model surgery: change a language model's behavior by adding a probe's direction to a few of its rows.

The method of Wang et al., "Model Surgery: Modulating LLM's Behavior via Simple Parameter Editing"
(NAACL 2025, arXiv 2407.08770), Equations 1 to 3.

Names load on first use, so that `import surgery` stays free of torch for the commands that don't need it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surgery.edit import Edit
    from surgery.errors import InputError
    from surgery.fingerprints import fingerprint
    from surgery.hidden_states import HiddenStates, collect_hidden_states
    from surgery.models import load_model
    from surgery.probe import Probe
    from surgery.probe_fitting import fit_probe
    from surgery.ranking import RowRanking, rank_rows
    from surgery.receipt import Receipt
    from surgery.region import Region

_HOME = {
    "Edit": "surgery.edit",
    "Receipt": "surgery.receipt",
    "InputError": "surgery.errors",
    "fingerprint": "surgery.fingerprints",
    "HiddenStates": "surgery.hidden_states",
    "collect_hidden_states": "surgery.hidden_states",
    "load_model": "surgery.models",
    "Probe": "surgery.probe",
    "fit_probe": "surgery.probe_fitting",
    "RowRanking": "surgery.ranking",
    "rank_rows": "surgery.ranking",
    "Region": "surgery.region",
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
