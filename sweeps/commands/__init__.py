"""What a person types: `surgery`, `sweeps` and its subcommands."""

__all__ = [
    "run_composed",
    "search_command",
    "surgery_command",
    "sweeps_command",
]
