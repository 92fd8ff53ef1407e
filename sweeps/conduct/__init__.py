"""A plan carried out: cells handed to an executor, and what is said before and after."""

__all__ = [
    "conductor",
    "dry_run",
    "run_plan",
]
