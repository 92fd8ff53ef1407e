"""Methods compared at an equal price: picked on the selection half, reported on the other."""

__all__ = [
    "comparison",
    "frontier_chart",
    "methods_table",
    "prices",
    "told",
]
