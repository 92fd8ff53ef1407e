"""Whether a cell qualifies by a rule, or why not, with the values that the rule looks at."""

from dataclasses import dataclass

from sweeps.records.choice import Choice, Condition
from sweeps.records.metric import selected, value_of
from sweeps.records.numbers import change, number
from sweeps.results.best_cell import distinguishably_better
from sweeps.results.broken_text import Measured, degenerate


@dataclass(frozen=True)
class Qualification:
    """What a rule says of one cell.

    Attributes:
        why_not: what keeps it from being chosen, one reason each; empty where it qualifies.
        values: what the rule looked at, on the selection half where there is one: `perplexity/heldout/ratio 1.013`.
    """

    why_not: tuple[str, ...]
    values: tuple[str, ...]


def qualification(row: Measured, choice: Choice) -> Qualification:
    """Holds a cell against a rule, as `sweeps.results.best_cell.choose` does.

    Args:
        row: a record that is done, or seeds pooled into one.
        choice: the rule.
    """
    metric = selected(row.metrics, choice.metric)
    if metric is None or metric.edited is None:
        return Qualification((f"{choice.metric} was not measured",), ())
    values = [f"{choice.metric} {change(metric)}"]
    why_not = [f"broke the text: {reason}"] if (reason := degenerate(row)) else []
    for condition in choice.where:
        value = value_of(row.metrics, condition.name, condition.of)
        told = f"{_left_side(condition)} {number(value, signed=condition.of == 'delta')}"
        values.append(told)
        if value is None:
            why_not.append(f"{_left_side(condition)} was not measured")
        elif not condition.met_by(value):
            why_not.append(f"{told}, not {condition.sign} {condition.bound:g}")
    if not distinguishably_better(row.metrics, choice):
        side = "below" if choice.lowest else "above"
        why_not.append(f"{choice.metric} {change(metric)}, not distinguishably {side} the base's")
    return Qualification(tuple(why_not), tuple(values))


def _left_side(condition: Condition) -> str:
    return condition.name if condition.of == "edited" else f"{condition.name}/{condition.of}"
