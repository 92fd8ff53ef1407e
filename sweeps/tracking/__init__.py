"""Weights & Biases: runs, what was logged offline, the dashboard."""

__all__ = [
    "dashboard",
    "guarded_tracking",
    "sync",
    "tracker",
    "wandb_run",
]
