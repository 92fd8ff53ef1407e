"""Cells asked for by a sampler that learns from those that have ended."""
