"""What a comparison of methods comes to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sweeps.equal_price.prices import Price

# Of p after the correction.
SIGNIFICANT = 0.05
Word = Literal["better", "worse", "can't tell"]


@dataclass(frozen=True)
class Told:
    """The setting of a method, on the report half.

    Attributes:
        cells: it was measured as; several where seeds are pooled.
        keys: its setting.
        value, low, high: the behavior, and its bootstrapped 95 % interval over prompts.
        n: how many prompts.
        paid: {price: what it costs}, where that was measured on the report half.
        like_base: whether the base's own value lies in the interval.
    """

    cells: tuple[str, ...]
    keys: Mapping[str, Any]
    value: float
    low: float
    high: float
    n: int
    paid: Mapping[str, float | None]
    like_base: bool


@dataclass(frozen=True)
class Against:
    """The reference against another method, paired on prompts.

    Attributes:
        difference, low, high: reference − other, with its paired 95 % interval.
        p: two-sided, of no difference.
        adjusted: by Holm's procedure over all different pairs of cells that are told.
        word: what that says of the reference.
    """

    difference: float
    low: float
    high: float
    p: float
    adjusted: float
    word: Word


@dataclass(frozen=True)
class AtPrice:
    """A method at a price: its setting, None where no cell is within the price; and the reference against it."""

    price: Price
    level: float
    method: str
    told: Told | None
    against: Against | None

    @property
    def within(self) -> str:
        """`perplexity +5 %`."""
        return f"{self.price.name} {self.price.written(self.level)}"


@dataclass(frozen=True)
class MethodComparison:
    """What a sweep says of its methods.

    Attributes:
        behavior: the metric that is compared.
        lowest: whether low values of it are the good ones.
        base: the unedited model's value on the report half.
        reference: the method that others are compared with.
        cells: {method: how many of its cells are done, or were given up since they cost more than any price}.
        prices: that were measured.
        rows: by price, level, method.
        fronts: {(price, method): settings from the cheapest on, each better than all cheaper ones on the selection
            half}.
        comparisons: how many different pairs of cells were compared.
        notes: what has to be said, in sentences.
    """

    behavior: str
    lowest: bool
    base: float
    reference: str
    cells: Mapping[str, int]
    prices: tuple[Price, ...]
    rows: tuple[AtPrice, ...]
    fronts: Mapping[tuple[str, str], tuple[Told, ...]]
    comparisons: int
    notes: tuple[str, ...]
