"""What an evaluator returns, and the file it is kept in."""

__all__ = [
    "measurement",
    "measurement_files",
]
