"""What each `method` makes of a cell: one file a method, found by its name in `sweeps/cell/method.py`."""

__all__ = [
    "activation_addition",
    "directional_ablation",
    "feature_subtraction",
    "gradient_ascent",
    "lora",
    "surgery",
    "system_prompt",
    "task_vector",
]
