"""From what was typed and composed to validated settings, with one sentence for whatever is wrong."""

__all__ = [
    "chosen_config",
    "command_line",
    "composition",
    "config_files",
    "followed_cells",
    "foreign_code",
    "key_types",
    "model_and_behavior",
    "read_settings",
    "resolvers",
    "wandb_key",
    "wandb_names",
    "wandb_settings",
    "written_values",
]
