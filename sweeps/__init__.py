"""From one cell to many: plans, records, tracking, tables and the two commands."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweeps.records.data_frame import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """`load` is fetched when it is asked for: importing this package must cost the commands nothing."""
    if name == "load":
        from sweeps.records.data_frame import load

        return load
    raise AttributeError(f"module 'sweeps' has no attribute '{name}'")
