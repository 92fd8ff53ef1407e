"""A vLLM server that cells share: started, found, replaced, ended."""

__all__ = [
    "engine_version",
    "served_base",
    "served_edit",
]
