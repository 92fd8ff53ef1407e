"""Pooled hidden states of texts, in batches that fit."""

__all__ = [
    "batch_budget",
    "batching",
    "hidden_states",
    "pooled_tokens",
    "text_batches",
]
