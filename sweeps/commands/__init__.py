"""What a person types: `surgery`, `sweeps` and its subcommands."""
