"""What stages made, keyed by content."""

__all__ = [
    "full_disk",
    "kept_digests",
    "store",
    "store_pruning",
]
