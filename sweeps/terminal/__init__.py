"""What a person sees in the terminal: tables, progress, and how output gets there whole."""

__all__ = [
    "cell_tables",
    "latex_text",
    "library_output",
    "output",
    "printed_table",
    "progress",
    "summary",
    "sweep_log",
]
