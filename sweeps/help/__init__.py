"""What `surgery --help` shows."""

__all__ = ["help_page"]
