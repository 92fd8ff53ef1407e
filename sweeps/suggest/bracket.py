"""A bracket: the alphas between which perplexity rises by so much, found from readings of perplexity alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

from sweeps.results.broken_text import PERPLEXITY_RATIO

# By how much perplexity is to have risen, as shares of the base's.
RISES = (0.01, 0.05, 0.20)
# From here on the text is broken, and no larger alpha is tried.
BROKEN = PERPLEXITY_RATIO - 1
# Alphas are tried on a grid of so many to a doubling, 9 % apart: what is between two neighbours is not told apart.
STEPS = 8
# How often the first alpha is doubled or halved at most.
DOUBLINGS = 12
# A rise that falls again by less than this share of the base's perplexity is taken for even.
EVEN = 0.002


@dataclass(frozen=True)
class Bracket:
    """What was read.

    Attributes:
        base: perplexity of the unedited model.
        readings: {alpha: perplexity with it}, all of one sign, the smallest first.
        text: what the perplexity is of, in words.
        tokens: how many of its tokens were scored.
        unit_step: ‖direction‖ over the median norm of the edited rows, for an alpha of 1; None where no rows are added
            to.
    """

    base: float
    readings: Mapping[float, float]
    text: str
    tokens: int
    unit_step: float | None = None

    def rise(self, alpha: float) -> float:
        """By what share of the base's the perplexity rose at an alpha that was read."""
        return self.readings[alpha] / self.base - 1

    def below(self, rise: float) -> float | None:
        """The last alpha before perplexity has first risen so much; None where no two neighbours show that."""
        both = pairwise(self.readings)
        return next((one for one, other in both if self.rise(one) < rise <= self.rise(other)), None)

    @property
    def alphas(self) -> tuple[float, ...]:
        """What is worth a sweep: the last alphas before each of `RISES`; empty where none of them was seen."""
        return tuple(dict.fromkeys(alpha for rise in RISES if (alpha := self.below(rise)) is not None))

    @property
    def breaks(self) -> float | None:
        """The first alpha that was read at which the text is broken; None where there was none."""
        return next((alpha for alpha in self.readings if self.rise(alpha) >= BROKEN), None)

    @property
    def falls(self) -> tuple[float, float] | None:
        """Two neighbouring alphas, the larger of which has the lower perplexity, where that fell the most before the
        text broke; None where perplexity rises evenly.
        """
        sound = [alpha for alpha in self.readings if self.breaks is None or abs(alpha) < abs(self.breaks)]
        falls = [(self.rise(one) - self.rise(other), (one, other)) for one, other in pairwise(sound)]
        return max((fall for fall in falls if fall[0] > EVEN), default=(0.0, None))[1]

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {
            "base": self.base,
            "readings": list(self.readings.items()),
            "text": self.text,
            "tokens": self.tokens,
            "unit_step": self.unit_step,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """The reverse."""
        return cls(said["base"], dict(said["readings"]), said["text"], said["tokens"], said["unit_step"])


@dataclass
class _Readings:
    """Perplexity at the places of the grid, each read once."""

    first: float
    read: Callable[[float], float]
    base: float
    found: dict[int, float] = field(default_factory=dict)

    def alpha(self, place: int) -> float:
        """Rounded as a person would type it."""
        return float(f"{self.first * 2 ** (place / STEPS):.3g}")

    def rise(self, place: int) -> float:
        if place not in self.found:
            self.found[place] = self.read(self.alpha(place))
        return self.found[place] / self.base - 1

    def gap(self, rise: float) -> tuple[int, int] | None:
        """The first two neighbours with a rise between them; None where no place is left between these."""
        both = next(((a, b) for a, b in pairwise(sorted(self.found)) if self.rise(a) < rise <= self.rise(b)), (0, 0))
        return both if both[1] - both[0] > 1 else None


def find_bracket(
    read: Callable[[float], float], base: float, first: float, rises: Sequence[float] = RISES
) -> dict[float, float]:
    """Reads perplexity at a dozen alphas or so, by which each rise is found to within a step of the grid.

    From the first alpha on it is doubled until the text breaks and halved until the smallest rise is not reached; then,
    for each rise, the first two neighbours of these with the rise between them are bisected on the logarithm of alpha.
    A rise that comes and goes between two neighbours is not seen.

    Args:
        read: gives the perplexity at an alpha.
        base: perplexity without an edit.
        first: where to begin; its sign is that of all alphas.
        rises: shares of the base's perplexity.

    Returns:
        {alpha: perplexity}, the smallest first.
    """
    at = _Readings(first, read, base)
    place = 0
    while at.rise(place) < BROKEN and place < DOUBLINGS * STEPS:
        place += STEPS
    place = 0
    while at.rise(place) >= min(rises) and place > -DOUBLINGS * STEPS:
        place -= STEPS
    for rise in rises:
        while gap := at.gap(rise):
            at.rise(sum(gap) // 2)
    return {at.alpha(place): at.found[place] for place in sorted(at.found)}
