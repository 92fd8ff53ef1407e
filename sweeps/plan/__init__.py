"""Everything that needs no loaded model: what the cells of a command are, and what they share."""

__all__ = [
    "experiment",
    "layers",
    "materials",
    "measured_names",
    "model_reading",
    "plan",
    "planner",
    "replan",
    "text_notes",
]
