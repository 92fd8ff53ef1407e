"""Figures: what one shows, said once, and the two that draw it, matplotlib into files and plotly in a page."""

__all__ = [
    "chart",
    "palette",
    "pictures",
    "plotly_figure",
]
