"""What can be done to a model and taken back: the edit of Equation 3, and the methods it is compared with."""

__all__ = [
    "ablation",
    "biased_gates",
    "changed_checkpoint",
    "contrast",
    "edit",
    "intervention",
    "low_rank",
    "new_weights",
    "pruning",
    "row_scaling",
    "steering",
    "stream_ablation",
    "system_turn",
]
