"""Why a sweep has no good cell, and what to try: said from what was measured on the selection half alone."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from evaluation.comparison.smallest_change import fewest_turned, samples_to_show
from sweeps.records.choice import Choice, Condition
from sweeps.records.metric import Metric, selected, value_of
from sweeps.records.told_keys import setting_text, swept_keys
from sweeps.results.best_cell import Chosen, distinguishably_better
from sweeps.results.broken_text import degenerate
from sweeps.results.pooling import Pooled
from sweeps.results.possible_values import possible

# What became of a cell: its text broke; it did what was wanted and missed a condition; it is all that was asked for; it
# moved the behavior the wrong way; it missed a condition for nothing; it moved the behavior by less than can be told
# from none; or not at all.
Verdict: TypeAlias = Literal["broken", "dear", "good", "worse", "vain", "unclear", "unchanged"]
_STRONG: tuple[Verdict, ...] = ("broken", "dear", "vain")
_WEAK: tuple[Verdict, ...] = ("unclear", "unchanged")
_WORDS: Mapping[Verdict, str] = {
    "broken": "broke the text",
    "dear": "missed the rule's conditions",
    "worse": "moved it the wrong way",
    "vain": "missed the rule's conditions and changed nothing that can be told",
    "unclear": "changed too little to be told from chance",
    "unchanged": "changed nothing",
}
# Of many sorts of cells, so many are told of.
_TOLD = 3
# Alphas nearer to each other than this are one.
_NEAR = 1.05


def why_none(found: Chosen, choice: Choice) -> tuple[str, ...]:
    """What `choose` says of a sweep without a best cell, and then what to try; sentences without a full stop."""
    return found.why, *diagnosis(found.rows, choice)


def diagnosis(rows: Sequence[Pooled], choice: Choice) -> tuple[str, ...]:
    """What a sweep without a good cell was, and what to try, with numbers.

    Prompts too mild for any edit to be told from the base, where they are so; else at which alphas the text broke, the
    rule's conditions were missed or nothing changed, and which alphas lie between.

    Args:
        rows: of `Chosen`, measured alike.
        choice: the rule.

    Returns:
        Sentences without a capital or a full stop; none where no cell measured the metric, or one is good.
    """
    verdicts = {row.cell: found for row in rows if (found := verdict(row, choice)) is not None}
    measured = [row for row in rows if row.cell in verdicts]
    if not measured or "good" in verdicts.values():
        return ()
    if mild := _mild(measured, choice):
        return (mild,)
    told = _by_strength(measured, verdicts) or [_counted(list(verdicts.values()))]
    told += _missed(measured, verdicts, choice)
    told += _too_few(measured, verdicts, choice)
    if "worse" in verdicts.values():
        told.append("what moved the wrong way moves back with alpha of the other sign, or other labels to avoid")
    return tuple(told)


def verdict(row: Pooled, choice: Choice) -> Verdict | None:
    """What became of a cell, by a rule; None where it did not measure the metric."""
    metric = selected(row.metrics, choice.metric)
    if metric is None or metric.edited is None:
        return None
    if degenerate(row) is not None:
        return "broken"
    if distinguishably_better(row.metrics, choice):
        return "good" if all(condition.holds(row.metrics) for condition in choice.where) else "dear"
    if metric.delta and metric.distinguishable:
        return "worse"
    if not all(condition.holds(row.metrics) for condition in choice.where):
        return "vain"
    return "unclear" if metric.delta else "unchanged"


def _mild(measured: Sequence[Pooled], choice: Choice) -> str | None:
    """That the base leaves too little to change: then no edit could be told from it, whatever it does."""
    metrics = [_metric(row, choice) for row in measured]
    if not all(map(_counts_samples, metrics)):
        return None
    metric = max(metrics, key=lambda metric: _room(metric, choice))
    room, n, what = _room(metric, choice), int(metric.n or 0), _samples(choice)
    needed = fewest_turned(n)
    if needed is None:
        return f"{n} {what} a half can show no change at all: give at least {samples_to_show(1)} a half"
    if room >= needed:
        return None
    more = f", or at least {samples_to_show(room / n)} like these a half" if room else ""
    return (
        f"the {what} are too mild: {choice.metric} of the base is {metric.base:.3f}, so an edit can turn at most "
        f"{room} of the {n} {what} of this half, and it takes {needed} ({needed / n:.3f}) to be told from chance; give "
        f"{what} that lead the base further into it{more}"
    )


def _room(metric: Metric, choice: Choice) -> int:
    """How many samples can still turn the wanted way."""
    base, n = float(metric.base or 0.0), int(metric.n or 0)
    return round(n * (base if choice.lowest else 1 - base))


def _counts_samples(metric: Metric) -> bool:
    """Whether a metric is a share of its samples, each of which counts or does not: then Tango's interval is its own.

    Seeds that were pooled are no such share, since a sample is the mean over them.
    """
    values = [metric.base, metric.edited]
    if metric.n is None or metric.seeds > 1 or possible(metric.name, values) != (0.0, 1.0):
        return False
    return all(value is not None and math.isclose(value * metric.n, round(value * metric.n)) for value in values)


@dataclass(frozen=True)
class _Sort:
    """Cells that differ in the strength of alpha alone: the largest that did too little, the smallest too much.

    Attributes:
        sign: of their alphas.
        low, high: sizes of alpha; None where no cell did too little, or too much.
        little, much: what these did, in words.
        vain: whether all that did too much did so for nothing.
    """

    sign: int
    low: float | None
    high: float | None
    little: str
    much: str
    vain: bool

    def __str__(self) -> str:
        told = []
        if self.high is not None:
            told.append(f"alphas from {self.sign * self.high:g} {self.much}")
        if self.low is not None:
            told.append(f"{'' if told else 'alphas '}up to {self.sign * self.low:g} {self.little}")
        return f"{', '.join(told)}: {self.to_try()}"

    def to_try(self) -> str:
        """Alphas between, above or below, evenly spread by factors; to two digits, since no more is known."""
        if self.vain:
            return "this direction costs before it does anything: try another layer, probe, or other texts"
        if self.low is None:
            assert self.high is not None
            sizes = [self.high / factor for factor in (8, 4, 2)]
        elif self.high is None:
            sizes = [self.low * factor for factor in (2, 4, 8)]
        elif self.high / self.low < _NEAR:
            return "no alpha lies between: try another layer, or another top_k"
        else:
            sizes = [self.low * (self.high / self.low) ** (part / 4) for part in (1, 2, 3)]
        between = [float(f"{size:.2g}") for size in sizes]
        if self.low is not None and self.high is not None and not self.low < between[0] <= between[2] < self.high:
            between = [float(f"{size:.4g}") for size in sizes]
        return f"try alpha={','.join(f'{self.sign * size:g}' for size in dict.fromkeys(between))}"


def _by_strength(measured: Sequence[Pooled], verdicts: Mapping[str, Verdict]) -> list[str]:
    """At which alphas cells did too little and too much; empty where their order does not tell."""
    swept = [key for key in swept_keys([row.keys for row in measured]) if key != "alpha" and _varies(key, measured)]
    groups: dict[tuple[str, int], list[Pooled]] = {}
    for row in measured:
        others = setting_text(row.keys, swept)
        if _size(row):
            groups.setdefault((others, -1 if _alpha(row) < 0 else 1), []).append(row)
    cells = Counter(others for (others, _), group in groups.items() for _ in group)
    # As in a search: alphas differ, but hardly ever between cells that are alike otherwise.
    lone = [count == 1 for count in cells.values()]
    if len(lone) > 1 and sum(lone) > len(lone) / 2 and len({_alpha(row) for row in measured}) > 1:
        return []
    alike: dict[_Sort, list[str]] = {}
    for (others, sign), group in sorted(groups.items()):
        if (sort := _sort(group, sign, verdicts)) is not None:
            alike.setdefault(sort, []).append(others)
    told = [str(sort) if len(of) == len(cells) else f"{_named(of)}: {sort}" for sort, of in alike.items()]
    return told[:_TOLD] + [f"{len(told) - _TOLD} more sorts of cells differ from these"] * (len(told) > _TOLD)


def _named(sorts: Sequence[str]) -> str:
    more = f" and {len(sorts) - _TOLD} more" if len(sorts) > _TOLD else ""
    return f"with {', '.join(sorts[:_TOLD])}{more}"


def _sort(group: Sequence[Pooled], sign: int, verdicts: Mapping[str, Verdict]) -> _Sort | None:
    weak = [row for row in group if verdicts[row.cell] in _WEAK]
    strong = [row for row in group if verdicts[row.cell] in _STRONG]
    low, high = max(map(_size, weak), default=None), min(map(_size, strong), default=None)
    if (low is None and high is None) or (low is not None and high is not None and low >= high):
        return None
    vain = bool(strong) and all(verdicts[row.cell] == "vain" for row in strong)
    return _Sort(sign, low, high, _did(weak, verdicts), _did(strong, verdicts), vain)


def _did(rows: Sequence[Pooled], verdicts: Mapping[str, Verdict]) -> str:
    did = {verdicts[row.cell] for row in rows}
    return " or ".join(words for name, words in _WORDS.items() if name in did)


def _counted(verdicts: Sequence[Verdict]) -> str:
    told = [f"{verdicts.count(name)} {words}" for name, words in _WORDS.items() if name in verdicts]
    return f"of {len(verdicts)} cells {', '.join(told)}" if len(verdicts) > 1 else f"the cell {_WORDS[verdicts[0]]}"


def _missed(measured: Sequence[Pooled], verdicts: Mapping[str, Verdict], choice: Choice) -> list[str]:
    """Of the cells that did what was wanted, the one that misses the fewest conditions, and by how much."""
    dear = [row for row in measured if verdicts[row.cell] == "dear"]
    if not dear:
        return []
    missed = {row.cell: [one for one in choice.where if not one.holds(row.metrics)] for row in dear}
    nearest = min(dear, key=lambda row: (len(missed[row.cell]), _size(row), row.cell))
    metric = _metric(nearest, choice)
    by = ", ".join(_by_how_much(nearest, condition) for condition in missed[nearest.cell])
    base = "" if metric.base is None else f"{metric.base:.3f} → "
    return [
        f"nearest is {nearest.cell}, {choice.metric} {base}{metric.edited:.3f}, but for {by}; a looser condition takes "
        "it (sweeps best --where, evaluation.choose.where)"
    ]


def _by_how_much(row: Pooled, condition: Condition) -> str:
    value = value_of(row.metrics, condition.name, condition.of)
    return f"{condition} ({'not measured' if value is None else f'{value:.3f}'})"


def _too_few(measured: Sequence[Pooled], verdicts: Mapping[str, Verdict], choice: Choice) -> list[str]:
    """How many samples the largest change that could not be told from none would take."""
    metrics = [_metric(row, choice) for row in measured if verdicts[row.cell] == "unclear"]
    wanted = [one for one in metrics if one.delta and (one.delta < 0) == choice.lowest and _counts_samples(one)]
    if not wanted:
        return []
    largest = max(wanted, key=lambda metric: abs(metric.delta or 0.0))
    assert largest.delta is not None and largest.n is not None
    turned, needed, what = round(abs(largest.delta) * largest.n), samples_to_show(largest.delta), _samples(choice)
    if needed <= largest.n:
        return []
    return [
        f"the largest change, {largest.delta:+.3f}, is {turned} of {largest.n} {what}, and it takes "
        f"{fewest_turned(largest.n)}: {needed} {what} a half, at least, could show it"
    ]


def _metric(row: Pooled, choice: Choice) -> Metric:
    found = selected(row.metrics, choice.metric)
    assert found is not None
    return found


def _samples(choice: Choice) -> str:
    return "questions" if choice.metric.startswith("lm_eval/") else "prompts"


def _varies(name: str, rows: Sequence[Pooled]) -> bool:
    return len({repr(row.keys.get(name)) for row in rows}) > 1


def _alpha(row: Pooled) -> float:
    """0 for a method that has none."""
    value: Any = row.keys.get("alpha")
    return float(value) if isinstance(value, int | float) else 0.0


def _size(row: Pooled) -> float:
    return abs(_alpha(row))
