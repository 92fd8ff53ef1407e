"""A sweep as one page to look at, and its figures as files."""

__all__ = [
    "write",
]
