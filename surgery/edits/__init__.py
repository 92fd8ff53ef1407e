"""What can be done to a model and taken back: the edit of Equation 3, and the methods it is compared with."""

__all__ = [
    "ablation",
    "changed_checkpoint",
    "contrast",
    "edit",
    "intervention",
    "low_rank",
    "new_weights",
    "pruning",
    "steering",
]
