"""Methods compared at an equal price: picked on the selection half, told on the report half."""

__all__ = [
    "comparison",
    "frontier_chart",
    "methods_table",
]
