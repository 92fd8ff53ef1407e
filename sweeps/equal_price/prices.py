"""What an edit is paid with, and the prices that methods are compared at, fixed before anything is measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sweeps.records.choice import Condition
from sweeps.records.metric import Metric, Metrics, Of, selected
from sweeps.results.broken_text import Measured

PERPLEXITY, KL, ABILITY = "perplexity/", "divergence/kl", "lm_eval/average"
# How far the axis of prices goes beyond the dearest that methods are read off at; what costs more is not measured.
BEYOND = 1.5
Look = Callable[[Metrics, str], Metric | None]


@dataclass(frozen=True)
class Price:
    """One kind of price; what an edit leaves as it is costs 0, and what it makes better less.

    Attributes:
        name: `perplexity`, `kl` or `ability`.
        words: what it is, with its unit.
        metric: whose price it is: a name, or the beginning of several, of which the dearest counts.
        of, less, sign: it is sign · (that value of the metric − less).
        levels: the prices at which methods are read off.
        scale, form: how people write it: an amount times this, in these words.
    """

    name: str
    words: str
    metric: str
    of: Of
    less: float
    sign: int
    levels: tuple[float, ...]
    scale: float
    form: str

    def paid(self, metrics: Metrics) -> float | None:
        """What a cell costs where cells are picked: on the selection half where there is one; None: not measured."""
        return self._dearest(metrics, selected)

    def told(self, metrics: Metrics) -> float | None:
        """What a cell costs on the report half."""
        return self._dearest(metrics, lambda known, name: known.get(name))

    def has_selection_half(self, metrics: Metrics) -> bool:
        """Whether all that is paid is measured on the selection half too."""
        return all((found := selected(metrics, name)) and found.half == "selection" for name in self._names(metrics))

    def written(self, amount: float | None) -> str:
        """An amount as a person writes it: `+5 %`, `0.1 nats`."""
        # What is nothing is not less than nothing: -0.0 + 0.0 is 0.0.
        return "-" if amount is None else self.form.format(self.scale * amount + 0.0)

    def is_of(self, name: str) -> bool:
        """Whether a metric is one that this price is taken from."""
        return name == self.metric or (self.metric[-1] == "/" and name.startswith(self.metric))

    @property
    def most(self) -> float:
        """What the dearest setting that is drawn may cost."""
        return BEYOND * max(self.levels, default=float("inf"))

    def axis(self, amount: float) -> float:
        """An amount in the unit of `words`."""
        return self.scale * amount

    def _names(self, metrics: Metrics) -> list[str]:
        names = dict.fromkeys(metric.name for metric in metrics.values())
        return [name for name in names if self.is_of(name)]

    def _dearest(self, metrics: Metrics, look: Look) -> float | None:
        found = [None if (one := look(metrics, name)) is None else one.value(self.of) for name in self._names(metrics)]
        known = [self.sign * (value - self.less) for value in found if value is not None]
        return max(known) if known and len(known) == len(found) else None


PRICES = (
    Price(
        "perplexity", "perplexity above the base's, %", PERPLEXITY, "ratio", 1.0, 1, (0.02, 0.05, 0.1), 100, "{:+.3g} %"
    ),
    Price(
        "kl", "KL(base ‖ edited) on harmless prompts, nats", KL, "edited", 0.0, 1, (0.05, 0.1, 0.2), 1, "{:.3g} nats"
    ),
    Price("ability", "general ability lost, points of 100", ABILITY, "delta", 0.0, -1, (), 100, "{:+.3g} points"),
)


def ceilings(metrics: Sequence[str]) -> tuple[tuple[Condition, ...], ...]:
    """For each price that is measured, what no setting that is told or drawn costs more than.

    Args:
        metrics: names of all that is measured.
    """
    found = [
        tuple(
            Condition(name, price.of, "<=", round(price.less + price.most, 12)) for name in metrics if price.is_of(name)
        )
        for price in PRICES
        if price.levels
    ]
    return tuple(conditions for conditions in found if conditions)


def measured_prices(rows: Sequence[Measured]) -> list[Price]:
    """The prices that every cell measured."""
    return [price for price in PRICES if all(price.paid(row.metrics) is not None for row in rows)]
