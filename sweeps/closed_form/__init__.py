"""Methods whose new weights follow from a formula: one file a method, found by its name in `sweeps/cell/method.py`."""

__all__ = [
    "layer_weighted_ablation",
    "neuron_scaling",
    "norm_preserving_ablation",
    "projection",
]
