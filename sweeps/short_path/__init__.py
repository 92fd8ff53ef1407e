"""`surgery MODEL TEXTS.csv PROMPTS.txt`: a whole command made of three files."""

__all__ = ["named_model", "short_command"]
