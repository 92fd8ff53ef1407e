"""Colours that can be seen on white and on black, and told apart by people who see colours differently."""

from sweeps.charts.chart import Symbol

# Okabe and Ito's, without their yellow, which white swallows, and their vermilion, which is the base's; and three more.
SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8b8b00", "#7b68b5", "#8c564b")
SYMBOLS: tuple[Symbol, ...] = ("circle", "square", "diamond", "triangle", "plus", "wedge", "pentagon", "hexagon")
MAIN = SERIES[0]
# The unedited model.
BASE = "#d2600f"
# What others are seen against.
SOFT, PALE = "#838b94", "#b4bbc3"
# Of what belongs to points in many colours: their intervals, their name in a legend.
NEUTRAL = "#777777"

# From few to many, where both ends have to be seen as points on any background.
TWO_ENDS = ((0.0, "#4f9bd9"), (0.5, "#9467bd"), (1.0, "#e0484f"))
# Matplotlib's viridis, at every eighth of it.
_VIRIDIS = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
# On the two sides of a middle.
BELOW, MIDDLE, ABOVE = "#0072b2", "#f2f2f2", "#d55e00"
BETTER, WORSE = BELOW, ABOVE


VIRIDIS = tuple((place / (len(_VIRIDIS) - 1), colour) for place, colour in enumerate(_VIRIDIS))


def mixed(colour: str, other: str, share: float) -> str:
    """The colour with a share of another in it, of `#rrggbb` each."""
    parts = [(int(colour[place : place + 2], 16), int(other[place : place + 2], 16)) for place in (1, 3, 5)]
    return "#" + "".join(f"{round(mine + share * (theirs - mine)):02x}" for mine, theirs in parts)


def around(middle: float, away: float, low: float, high: float, ends: tuple[str, str]) -> tuple[tuple[float, str], ...]:
    """Stops of a scale that is white at a middle, and has the colours of its ends this far away from it.

    Args:
        middle: between low and high.
        away: where the colours are full.
        low, high: where the scale ends; nearer than `away` its ends are paler.
        ends: the colours below and above.
    """
    shares = {
        0.0: mixed(MIDDLE, ends[0], (middle - low) / away),
        1.0: mixed(MIDDLE, ends[1], (high - middle) / away),
    }
    inner = {} if middle in (low, high) else {(middle - low) / (high - low): MIDDLE}
    return tuple(sorted((shares | inner).items()))
