"""Pooled hidden states of texts, in batches that fit."""
