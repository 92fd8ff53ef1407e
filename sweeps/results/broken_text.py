"""Cells that broke the text: what they measure on a behavior is no success."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from sweeps.records.metric import Metrics, selected
from sweeps.records.numbers import number

# Bounds are relative to the unedited model, whose own text may be repetitive or short: greedy continuations of base
# models often are. They are wide on purpose. What is beyond them needs no test, it is seen at a glance; finer limits
# belong to the rule a sweep is chosen by.

# One in five n-grams more that only says again what was said: about what lies between people's text (under 0.05) and
# the greedy loops that Welleck et al. (2020) set out to cure (0.3 to 0.5, depending on length).
REPETITION_RISE = 0.2
# The same, seen by bigrams: one in five more is not new. Loops of two words, which trigrams of a short text miss.
DISTINCT_FALL = 0.2
# A model that says half as much has half the occasions to say something toxic.
LENGTH_SHARE = 0.5
# 0.41 nats a token. Llama 2's 13 and 7 billion parameters are 1.12 apart (4.88, 5.47); the paper's edits stay below
# 1.1; half as much again is another class of model.
PERPLEXITY_RATIO = 1.5


class Measured(Protocol):
    """A record, or seeds pooled into one: whatever has metrics."""

    @property
    def metrics(self) -> Metrics:
        """What was measured."""
        ...


T = TypeVar("T", bound=Measured)


def degenerate(record: Measured) -> str | None:
    """One sentence why the edited model's text is broken, as against the base's; None where it is not.

    It is judged where cells are chosen, on the selection half where there is one. What was not measured, or has no
    base to compare with, is not held against a cell.
    """
    metrics = record.metrics
    if (found := _pair(metrics, "fluency/length")) and found[1] < LENGTH_SHARE * found[0]:
        return f"continuations are {found[1] / found[0]:.2f} times as long as the base's"
    if (found := _pair(metrics, "fluency/repetition")) and found[1] - found[0] > REPETITION_RISE:
        return f"repetition {found[1]:.2f} against {found[0]:.2f} of the base"
    if (found := _pair(metrics, "fluency/distinct_2")) and found[0] - found[1] > DISTINCT_FALL:
        return f"share of distinct bigrams {found[1]:.2f} against {found[0]:.2f} of the base"
    names = dict.fromkeys(metric.name for metric in metrics.values())
    for name in (name for name in names if name.startswith("perplexity/")):
        if (found := _pair(metrics, name)) and found[1] > PERPLEXITY_RATIO * found[0]:
            return f"{name} {number(found[1] / found[0])} times the base's"
    return None


def sound(records: Iterable[T]) -> list[T]:
    """Those that are not degenerate."""
    return [record for record in records if degenerate(record) is None]


def _pair(metrics: Metrics, name: str) -> tuple[float, float] | None:
    """Base and edited of a metric, where there are both."""
    metric = selected(metrics, name)
    if metric is None or metric.base is None or metric.edited is None:
        return None
    return float(metric.base), float(metric.edited)
