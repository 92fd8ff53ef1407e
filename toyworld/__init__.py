"""A small self-made world: its grammar, the language model trained on it, a toxicity scorer and benchmark tasks."""
