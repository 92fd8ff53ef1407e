"""What a person sees in the terminal: tables, progress, and how output gets there whole."""

__all__ = [
    "cell_tables",
    "latex_text",
    "library_output",
    "output",
    "progress",
    "summary",
    "sweep_log",
]
