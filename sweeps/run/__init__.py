"""One cell, from hidden states to its record."""

__all__ = [
    "measurements",
    "probe_stage",
    "run_cell",
    "stage_identities",
    "states_stage",
    "trained_change",
    "workbench",
]
