"""Where a component's rows live in a model: what is known of architectures is here alone."""

__all__ = [
    "layouts",
    "linear_layers",
    "locator",
    "rows",
]
