"""Labelled texts: read from anyone's table, split for training and test."""

__all__ = [
    "classes",
    "separated_values",
    "tables",
    "text_pairs",
    "text_split",
    "texts",
    "words",
]
