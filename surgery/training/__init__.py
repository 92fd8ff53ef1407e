"""What trains a model on texts and gives the change that it found; the model itself is left as it was."""

__all__ = [
    "lora_training",
    "probe_ascent",
    "trl_training",
]
