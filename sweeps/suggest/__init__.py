"""How large alpha may be: by how much each alpha raises perplexity, and how large a step it is."""

__all__ = [
    "planned_step",
    "suggestion_table",
    "suggestions",
]
