"""How far an edited model's next-token distributions are from the base's."""

from evaluation.divergence.divergence import Divergence as Divergence

__all__ = [
    "divergence",
]
