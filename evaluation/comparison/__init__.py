"""Base against edited: differences, paired intervals and p-values."""

__all__ = [
    "compare",
    "intervals",
    "significance",
    "smallest_change",
]
