"""A cell's edit taken away: written, described, tried out, sent to the hub."""

__all__ = [
    "ask",
    "export",
    "push",
]
