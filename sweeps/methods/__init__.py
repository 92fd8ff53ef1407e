"""What each `method` makes of a cell: one file a method, found by its name in `sweeps/cell/method.py`."""

__all__ = [
    "activation_addition",
    "contrastive_decoding",
    "directional_ablation",
    "dpo",
    "feature_subtraction",
    "gradient_ascent",
    "lora",
    "sft",
    "surgery",
    "task_vector",
    "wanda",
]
