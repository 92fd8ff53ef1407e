"""What each `method` makes of a cell: one file a method, found by its name in `sweeps/cell/method.py`."""

__all__ = [
    "activation_addition",
    "caa",
    "contrastive_decoding",
    "directional_ablation",
    "dpo",
    "feature_subtraction",
    "gate_bias",
    "gradient_ascent",
    "lora",
    "sft",
    "surgery",
    "system_prompt",
    "task_vector",
    "wanda",
]
