"""What evaluators read: prompts, files a person names, a model ready for a forward pass."""
