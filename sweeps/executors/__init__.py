"""What runs cells: this process, worker processes, or a cluster."""

__all__ = [
    "import_path",
    "in_process",
    "local",
    "protocol",
    "ray_executor",
    "slurm",
]
