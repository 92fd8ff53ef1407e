"""A sweep's edits to play with, on a page of this machine alone: `sweeps play`."""

__all__ = ["playing"]
