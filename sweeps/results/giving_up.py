"""When a cell of a search is given up before all of it is measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from sweeps.records.choice import Condition
from sweeps.records.metric import Metrics, Of, selected, value_of

# How the reason begins of a cell that costs more than each price's ceiling.
TOO_DEAR = "it costs more than any price"


@dataclass(frozen=True)
class Objective:
    """A metric that a search wants low or high."""

    metric: str
    lowest: bool

    def value(self, metrics: Metrics) -> float | None:
        """On the selection half; None when it was not measured."""
        return value_of(metrics, self.metric, "edited")

    def better(self, one: float, other: float) -> bool:
        """Whether the first value is strictly better."""
        return one < other if self.lowest else one > other

    def __str__(self) -> str:
        return f"{'lowest' if self.lowest else 'highest'} {self.metric}"


@dataclass(frozen=True)
class Pruning:
    """Which cells are hopeless, given those that have ended.

    Attributes:
        objectives: what the search is after.
        conditions: what a cell has to meet.
        rivals: of each cell that ended well and meets the conditions, the values of the objectives.
        ceilings: for each price that may be paid, what a cell must not cost more than.
    """

    objectives: tuple[Objective, ...]
    conditions: tuple[Condition, ...]
    rivals: tuple[tuple[float, ...], ...] = ()
    ceilings: tuple[tuple[Condition, ...], ...] = ()

    @property
    def gives_up(self) -> bool:
        """Whether there is anything that a cell could be given up for."""
        return bool(self.objectives or self.conditions or self.ceilings)

    def reason(self, metrics: Metrics) -> str | None:
        """Why a cell can be given up, after what was measured of it so far; None while it may still be the best.

        A cell is given up when it breaks a condition, costs more than each price's ceiling, or another cell is better
        in every objective, even at the end of its own 95 % interval that would suit it best.
        """
        if broken := _broken(metrics, self.conditions):
            return f"it breaks {broken}"
        dear = [_broken(metrics, ceiling) for ceiling in self.ceilings]
        if dear and all(dear):
            return f"{TOO_DEAR}: it breaks {', '.join(map(str, dear))}"
        if not self.objectives:
            return None
        at_best = [_at_best(metrics, one.metric, "edited", one.lowest) for one in self.objectives]
        known = [value for value in at_best if value is not None]
        if len(known) < len(self.objectives):
            return None
        for rival in self.rivals:
            pairs = zip(self.objectives, rival, known, strict=True)
            if all(objective.better(theirs, ours) for objective, theirs, ours in pairs):
                told = ", ".join(
                    f"{one.metric} is {ours:.3g} at best, another cell's {theirs:.3g}"
                    for one, ours, theirs in zip(self.objectives, known, rival, strict=True)
                )
                return f"it is dominated: {told}"
        return None


def _broken(metrics: Metrics, conditions: Sequence[Condition]) -> str | None:
    """The first condition that is broken even at the end of its interval that suits the cell best."""
    for condition in conditions:
        value = _at_best(metrics, condition.name, condition.of, low=condition.sign in ("<", "<="))
        if value is not None and not condition.met_by(value):
            return f"{condition} ({value:.3g} at best)"
    return None


def violations(metrics: Metrics, conditions: Sequence[Condition]) -> dict[str, float]:
    """How far each condition is from being met: above 0 where it is not, as Optuna's constraints have it.

    What was not reached before the cell was given up counts as just met.
    """
    found = {}
    for condition in conditions:
        value = value_of(metrics, condition.name, condition.of)
        over = 0.0 if value is None else value - condition.bound
        beyond = over if condition.sign in ("<", "<=") else -over
        # A bound that is met exactly, where it is a strict one, is not met.
        strictly = value is not None and beyond == 0 and not condition.met_by(value)
        found[str(condition)] = 1e-12 if strictly else beyond
    return found


def _at_best(metrics: Metrics, name: str, of: Of, low: bool) -> float | None:
    """A metric at the end of its interval that is lowest, or highest."""
    metric = selected(metrics, name)
    if metric is None or metric.edited is None:
        return None
    if of == "base" or metric.base is None or metric.interval is None:
        return metric.value(of)
    delta = float(metric.interval[0 if low else 1])
    if of == "delta":
        return delta
    edited = float(metric.base) + delta
    if of == "ratio":
        return edited / float(metric.base) if metric.base else None
    return edited
