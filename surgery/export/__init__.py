"""Edits as a PEFT adapter, or in a checkpoint that is written without building the model."""

__all__ = [
    "adapter",
    "base_folder",
    "checkpoint",
    "checkpoint_check",
    "tensor_edits",
]
