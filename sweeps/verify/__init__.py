"""Whether a sweep still is what its records say."""

__all__ = [
    "rerun",
    "verification",
]
