"""Figures: what one shows, said once, and the two that draw it, matplotlib into files and plotly in a page."""
