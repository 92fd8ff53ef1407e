"""Weights & Biases: runs, what was logged offline, the dashboard."""
