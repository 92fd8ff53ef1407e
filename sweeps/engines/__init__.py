"""What runs cells: this process, worker processes, or a cluster."""
