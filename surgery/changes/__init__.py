"""What an edit does to a matrix: vectors added to rows, products of thin matrices, and the receipt."""

__all__ = [
    "alpha",
    "direction",
    "factors",
    "receipt",
    "row_change",
]
