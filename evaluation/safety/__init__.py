"""Sets of requests, harmful and harmless, put to a model plainly and under attack."""

__all__ = [
    "request_set",
    "safety",
]
