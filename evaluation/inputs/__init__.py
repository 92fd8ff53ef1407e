"""What evaluators read: prompts, files a person names, a model ready for a forward pass."""

__all__ = [
    "behavior_texts",
    "detoxify_checkpoint",
    "isolation",
    "model_input",
    "named_files",
    "prompts",
]
