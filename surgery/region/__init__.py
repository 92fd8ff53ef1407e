"""The behavior region: the order of all rows, and those that are edited."""

__all__ = [
    "choosable_rows",
    "ranking",
    "region",
    "row_norms",
]
