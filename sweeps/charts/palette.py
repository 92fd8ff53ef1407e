"""Colours that can be seen on white and on black, and told apart by people who see colours differently."""

from sweeps.charts.chart import Symbol

# Okabe and Ito's, without their yellow, which white swallows; and two more.
SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8b8b00", "#7b68b5")
SYMBOLS: tuple[Symbol, ...] = ("circle", "square", "diamond", "triangle", "plus", "wedge", "pentagon", "hexagon")
MAIN = SERIES[0]
# The unedited model.
BASE = "#d2600f"
# What others are seen against.
SOFT, PALE = "#838b94", "#b4bbc3"

# From few to many, where both ends have to be seen as points on any background.
TWO_ENDS = ("#4f9bd9", "#9467bd", "#e0484f")
# Matplotlib's viridis, at every eighth of it.
VIRIDIS = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
# Below and above a middle.
BELOW, MIDDLE, ABOVE = "#0072b2", "#f2f2f2", "#d55e00"
