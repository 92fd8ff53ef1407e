"""One cell, from hidden states to its record."""

__all__ = [
    "measurements",
    "probe_stage",
    "ranking_stage",
    "region_choice",
    "run_cell",
    "stage",
    "stage_identities",
    "states_stage",
    "trained_change",
    "workbench",
]
