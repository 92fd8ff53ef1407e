"""What computes a model's answers: continuations, log-likelihoods, and what lm-eval asks for."""

__all__ = [
    "completions_server",
    "continuous_batching",
    "decoding",
    "engine",
    "in_memory_continuous",
    "served",
]
