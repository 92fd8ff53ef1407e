"""The one place where the best of a sweep's cells is named, or said why none can be.

The end of a sweep and of a search, `sweeps best`, `report`, `compare` and `paper`, and the line of progress ask here.
"""

from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sweeps.records.choice import Choice, Condition
from sweeps.records.metric import Metric, Metrics, selected, value_of
from sweeps.records.metric_names import nearest_metrics
from sweeps.records.record import Record
from sweeps.results.broken_text import Measured, sound
from sweeps.results.pooling import Pooled, pool
from sweeps.results.possible_values import possible

# What every edit is paid with, so that of cells that are equally good the cheapest is the better one.
PRICE, ABILITY = "perplexity/", "lm_eval/average"
# Averages over seeds of equal shares may differ in their last bits.
_DIGITS = 12

T = TypeVar("T", bound=Measured)


@dataclass(frozen=True)
class Chosen:
    """What a rule says of a sweep's cells.

    Attributes:
        rows: the cells that are done, those that differ in their seed alone as one.
        best: the chosen one; None where none can be named.
        why: what has to be said about it, one sentence without a capital or a full stop: why there is none, or how
            it was told from others with the same value. Empty where there is nothing to add.
        half: what the choice looked at, as an ending of a sentence.
    """

    rows: tuple[Pooled, ...]
    best: Pooled | None
    why: str
    half: str


def choose(
    records: Sequence[Record], choice: Choice, folder: Path, known: MutableMapping[Any, Pooled] | None = None
) -> Chosen:
    """The best cell of those measured alike, whichever command asks and in whatever order they come.

    Seeds are pooled, broken text is out, conditions and values are those of the selection half where there is one. A
    cell is named only where the metric could be told from the base's by its paired interval, in the wanted direction:
    where the base has the best value already, or no cell differs from it, the lowest number is chance. Of cells with
    the same value the one with the lowest perplexity against its base is chosen, then the one that lost least of
    general ability.

    Args:
        records: of a sweep; those that are not done count for nothing.
        choice: the rule.
        folder: of the sweep.
        known: what earlier calls have pooled, for a caller that asks after every cell.

    Raises:
        InputError: when the samples of cells to be pooled are not there.
    """
    rows = tuple(pool(records, folder, known))
    measured = [row for row in rows if value_of(row.metrics, choice.metric, "edited") is not None]
    half = _half(measured, choice.metric)

    def none(why: str) -> Chosen:
        return Chosen(rows, None, why, half)

    if not measured:
        return none(unmeasured(choice.metric, rows) if rows else "no cell is done")
    if all(_nothing_to_gain(row.metrics, choice, measured) for row in measured):
        best = value_of(measured[0].metrics, choice.metric, "base")
        extreme = "lowest" if choice.lowest else "highest"
        return none(
            f"no cell is chosen: {choice.metric} of the base is {best:.3f} already{half}, the {extreme} possible"
        )
    qualified = within_limits(measured, choice.where)
    if not qualified:
        if missing := [one for one in choice.where if all(selected(row.metrics, one.name) is None for row in measured)]:
            return none(f"{unmeasured(missing[0].name, rows)}, and so none meets the condition {missing[0]}")
        broken = len(measured) - len(sound(measured))
        left_out = f"; {broken} of {len(measured)} broke the text" if broken else ""
        return none(f"no cell qualifies for: {choice}{half and f' ({half.strip()})'}{left_out}")
    better = [row for row in qualified if distinguishably_better(row.metrics, choice)]
    if not better:
        return none(_nothing_differs(qualified, choice, half))
    return _cheapest_of_the_best(rows, better, choice, half)


def unmeasured(name: str, rows: Iterable[Measured]) -> str:
    """What to say of a metric that no cell has: which there are, the nearest first."""
    there = nearest_metrics(name, (key for row in rows for key in row.metrics))
    return f"no cell measured {name}; what was measured is {there}"


def within_limits(rows: Iterable[T], where: Sequence[Condition]) -> list[T]:
    """Those that did not break the text and meet every condition."""
    return [row for row in sound(rows) if all(condition.holds(row.metrics) for condition in where)]


def _half(measured: Sequence[Pooled], metric: str) -> str:
    """Where a metric has no other half, the choice looks at what is told, which has to be said."""
    if all(_chosen_on(row.metrics, metric).half == "selection" for row in measured):
        return " on the selection half"
    return " on all samples, since it has no selection half"


def _chosen_on(metrics: Metrics, name: str) -> Metric:
    """The metric that a measured cell is chosen on."""
    found = selected(metrics, name)
    assert found is not None
    return found


def _nothing_to_gain(metrics: Metrics, choice: Choice, measured: Sequence[Pooled]) -> bool:
    """Whether the base has the best possible value."""
    base = value_of(metrics, choice.metric, "base")
    if base is None:
        return False
    chosen_on = [_chosen_on(row.metrics, choice.metric) for row in measured]
    values = [value for metric in chosen_on for value in (metric.base, metric.edited)]
    low, high = possible(choice.metric, values)
    return (low is not None and base <= low) if choice.lowest else (high is not None and base >= high)


def distinguishably_better(metrics: Metrics, choice: Choice) -> bool:
    """Whether the edited model is distinguishably better than the base; by value alone where there is no base."""
    metric = _chosen_on(metrics, choice.metric)
    if metric.delta is None:
        return True
    wanted = metric.delta < 0 if choice.lowest else metric.delta > 0
    return wanted and metric.distinguishable


def _nothing_differs(qualified: Sequence[Pooled], choice: Choice, half: str) -> str:
    metrics = [_chosen_on(row.metrics, choice.metric) for row in qualified]
    samples = sorted({metric.n for metric in metrics if metric.n is not None})
    n = f" (n = {', '.join(map(str, samples))})" if samples else ""
    cells = "the one cell that qualifies" if len(qualified) == 1 else f"each of the {len(qualified)} cells that qualify"
    if not any(metric.distinguishable for metric in metrics):
        return f"no cell is chosen: {choice.metric} of {cells} is not distinguishable from the base's{half}{n}"
    lower = "below" if choice.lowest else "above"
    return (
        f"no cell is chosen: {choice.metric} of no cell that qualifies is distinguishably {lower} the base's{half}{n}"
    )


def best_of(rows: Sequence[Pooled], choice: Choice) -> list[Pooled]:
    """Of cells that measured the metric, those with the best value where cells are chosen, the cheapest first."""

    def value(row: Pooled) -> float:
        found = value_of(row.metrics, choice.metric, "edited")
        assert found is not None
        return round(found if choice.lowest else -found, _DIGITS)

    top = min(map(value, rows))
    return sorted((row for row in rows if value(row) == top), key=lambda row: (*_price(row.metrics), row.cell))


def _cheapest_of_the_best(rows: tuple[Pooled, ...], better: Sequence[Pooled], choice: Choice, half: str) -> Chosen:
    tied = best_of(better, choice)
    best, why = tied[0], ""
    if len(tied) > 1:
        by = "the lowest price (perplexity against the base's)"
        if _price(best.metrics) == _price(tied[1].metrics):
            by = "the lowest price too, with others, and is the first of them by id"
        why = f"{len(tied)} cells have this value; of them it has {by}"
    return Chosen(rows, best, why, half)


def _price(metrics: Metrics) -> tuple[float, float]:
    """What an edit costs, to compare: the largest perplexity over its base's, and what is lost of general ability."""
    names = dict.fromkeys(metric.name for metric in metrics.values())
    ratios = [value_of(metrics, name, "ratio") for name in names if name.startswith(PRICE)]
    lost = value_of(metrics, ABILITY, "delta")
    dearest = max((ratio for ratio in ratios if ratio is not None), default=1.0)
    return round(dearest, _DIGITS), -round(lost or 0.0, _DIGITS)
