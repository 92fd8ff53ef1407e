"""One experiment, resolved and validated: its settings and its id."""

__all__ = [
    "canonical_json",
    "cell",
    "method",
    "settings",
]
