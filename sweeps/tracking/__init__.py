"""Weights & Biases: runs, what was logged offline, the dashboard."""

__all__ = [
    "dashboard",
    "guarded_tracking",
    "report_run",
    "sync",
    "tracker",
    "wandb_note",
    "wandb_run",
]
