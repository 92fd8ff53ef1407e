"""Several sampled continuations a prompt, and the worst of them."""

from evaluation.sampled.sampled_continuations import Sampled as Sampled

__all__ = [
    "sampled_continuations",
    "worst_scores",
]
