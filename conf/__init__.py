"""The Hydra tree: what can be chosen. YAML only."""
