"""This machine: what memory a process may hold, and which numbers its CPU multiplies slowly."""

__all__ = [
    "cpu_numbers",
    "machine_memory",
]
