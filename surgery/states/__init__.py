"""Pooled hidden states of texts, in batches that fit."""

__all__ = [
    "batch_budget",
    "batching",
    "hidden_states",
    "pooling",
    "text_batches",
]
