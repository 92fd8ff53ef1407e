"""Cells asked for by a sampler that learns from those that have ended."""

__all__ = [
    "method_searches",
    "run_search",
    "search",
    "search_space",
    "suggested_range",
]
