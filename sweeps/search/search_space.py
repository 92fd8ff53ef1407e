"""What a search may choose from, as it is written in Hydra's override grammar."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from surgery.errors import InputError

if TYPE_CHECKING:
    from optuna import Trial

# Numbers are rounded to so many significant digits: nobody types 2.7182818284590451, and no result hangs on it.
DIGITS = 4


@dataclass(frozen=True)
class Numbers:
    """Numbers between two, both included."""

    low: float
    high: float
    step: float | None = None
    log: bool = False
    whole: bool = False

    def suggest(self, trial: "Trial", name: str) -> str:
        """Asks the sampler for one, as text for an override."""
        if self.whole:
            step = None if self.step is None else int(self.step)
            return str(trial.suggest_int(name, int(self.low), int(self.high), step=step or 1, log=self.log))
        value = trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        return str(min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high))

    def ends(self) -> tuple[str, ...]:
        """The lowest and the highest, as text for overrides."""
        return tuple(str(int(value) if self.whole else value) for value in (self.low, self.high))

    def middles(self) -> tuple[str, ...]:
        """The one in the middle, of the logarithms for a log range."""
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        if self.step is not None:
            middle = self.low + round((middle - self.low) / self.step) * self.step
        return (str(round(middle) if self.whole else float(f"{middle:.{DIGITS}g}")),)

    def param(self, text: str) -> float | None:
        """The sampler's value for a text; None when it is not one of these numbers."""
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            return None
        inside = self.low <= value <= self.high
        on_step = self.step is None or math.isclose((value - self.low) / self.step % 1, 0, abs_tol=1e-9)
        return value if inside and on_step else None

    def __str__(self) -> str:
        step = f" by {self.step:g}" if self.step is not None and self.step != 1 else ""
        return f"{self.low:g} to {self.high:g}{step}{' (log)' if self.log else ''}"


@dataclass(frozen=True)
class Options:
    """Some values, in no order."""

    values: tuple[str, ...]

    def suggest(self, trial: "Trial", name: str) -> str:
        """Asks the sampler for one, as text for an override."""
        return str(trial.suggest_categorical(name, self.values))

    def ends(self) -> tuple[str, ...]:
        """All of them."""
        return self.values

    def middles(self) -> tuple[str, ...]:
        """All of them."""
        return self.values

    def param(self, text: str) -> str | None:
        """The sampler's value for a text; None when it is not one of these."""
        return text if text in self.values else None

    def __str__(self) -> str:
        return ", ".join(self.values)


Domain = Numbers | Options


@dataclass(frozen=True)
class Condition:
    """Where a key has a value, these domains are added, or stand in the place of those there were."""

    key: str
    value: str
    domains: Mapping[str, Domain]

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


@dataclass(frozen=True)
class Place:
    """A cell of a space: the overrides that make it, and {the sampler's name: (domain, value)}."""

    overrides: tuple[str, ...]
    parameters: Mapping[str, tuple[Domain, Any]]


@dataclass(frozen=True)
class SearchSpace:
    """All cells that a search may ask for.

    Attributes:
        fixed: overrides that every cell has, by key.
        domains: what is chosen for every cell.
        conditions: what is chosen only where something else was.
    """

    fixed: Mapping[str, str]
    domains: Mapping[str, Domain]
    conditions: tuple[Condition, ...]

    @classmethod
    def parse(cls, overrides: Sequence[Override], when: Mapping[str, Any] | None) -> "SearchSpace":
        """From parsed overrides, and `{KEY: {VALUE: {OTHER_KEY: RANGE}}}` with ranges in the same grammar.

        Raises:
            InputError: for a range that can't be searched, or a condition on a key that nothing chooses.
        """
        swept = {override.get_key_element(): override for override in overrides if override.is_sweep_override()}
        fixed = {
            override.get_key_element(): override.get_value_element_as_str()
            for override in overrides
            if not override.is_sweep_override()
        }
        domains = {key: _domain(override) for key, override in swept.items()}
        conditions = tuple(_conditions(when or {}))
        chosen = {*fixed, *domains, *chain.from_iterable(condition.domains for condition in conditions)}
        for condition in conditions:
            if condition.key not in chosen:
                raise InputError(
                    f"hydra.sweeper.when asks for {condition.key}, which nothing sets; give it, or a range for it"
                )
            for key in condition.domains:
                if key in {*fixed, *domains} and any(other.key == key for other in conditions):
                    raise InputError(f"hydra.sweeper.when sets {key} where {condition}, and asks for it too; do one")
        return cls(fixed, domains, conditions)

    def suggest(self, trial: "Trial") -> list[str]:
        """The overrides of a cell that the sampler asks for."""
        chosen: dict[str, str] = {}
        for key, name, domain in self._in_order(chosen):
            chosen[key] = domain.suggest(trial, name)
        return self._overrides(chosen)

    def place(self, given: Mapping[str, str]) -> "Place | None":
        """Where a cell lies in the space; None when it is outside.

        Args:
            given: its values by key, as text.
        """
        chosen: dict[str, str] = {}
        found: dict[str, tuple[Domain, Any]] = {}
        for key, name, domain in self._in_order(chosen):
            value = domain.param(given[key]) if key in given else None
            if value is None:
                return None
            chosen[key] = given[key]
            found[name] = (domain, value)
        return Place(tuple(self._overrides(chosen)), found)

    def ends(self) -> list[list[str]]:
        """Overrides of a few cells in which every end of every range and every option occurs."""
        return self._cells(lambda domain: domain.ends())

    def middles(self) -> list[list[str]]:
        """Overrides of a few cells in which every option occurs, each with the middles of the ranges."""
        return self._cells(lambda domain: domain.middles())

    def _cells(self, of: Callable[[Domain], tuple[str, ...]]) -> list[list[str]]:
        found: dict[tuple[str, ...], None] = {}
        options = ["", *(condition.value for condition in self.conditions)]
        longest = max((len(of(domain)) for domain in self._all_domains()), default=1)
        for wanted in options:
            for index in range(longest):
                chosen: dict[str, str] = {}
                for key, _, domain in self._in_order(chosen):
                    values = of(domain)
                    asked = any(condition.key == key for condition in self.conditions) and wanted in values
                    chosen[key] = wanted if asked else values[index % len(values)]
                found[tuple(self._overrides(chosen))] = None
        return [list(overrides) for overrides in found]

    def describe(self) -> list[tuple[str, str, str]]:
        """(key, range, where it is chosen) for a table."""
        always = [(key, str(domain), "") for key, domain in self.domains.items()]
        return always + [(k, str(d), f"where {c}") for c in self.conditions for k, d in c.domains.items()]

    def _all_domains(self) -> Iterator[Domain]:
        yield from self.domains.values()
        for condition in self.conditions:
            yield from condition.domains.values()

    def _in_order(self, chosen: Mapping[str, str]) -> Iterator[tuple[str, str, Domain]]:
        """(key, the sampler's name, domain) of what is to be chosen next, given what the caller has put in `chosen`.

        What conditions ask about comes first. The names differ between conditions, since their domains do.
        """
        known = dict(self.fixed)
        waiting = {key: (key, domain) for key, domain in self.domains.items()}
        open_conditions = list(self.conditions)
        while True:
            for condition in [c for c in open_conditions if c.key in known]:
                open_conditions.remove(condition)
                if known[condition.key] == condition.value:
                    waiting |= {key: (f"{key} where {condition}", d) for key, d in condition.domains.items()}
            if not waiting:
                return
            key = next((key for key in waiting if any(c.key == key for c in open_conditions)), next(iter(waiting)))
            name, domain = waiting.pop(key)
            yield key, name, domain
            known[key] = chosen[key]

    def _overrides(self, chosen: Mapping[str, str]) -> list[str]:
        return [f"{key}={value}" for key, value in {**self.fixed, **chosen}.items()]


def _conditions(when: Mapping[str, Any]) -> Iterator[Condition]:
    parser = OverridesParser.create()
    for key, cases in when.items():
        if not isinstance(cases, Mapping) or not all(isinstance(ranges, Mapping) for ranges in cases.values()):
            raise InputError("hydra.sweeper.when is written as {KEY: {VALUE: {OTHER_KEY: RANGE}}}")
        for value, ranges in cases.items():
            parsed = {other: parser.parse_override(f"{other}={text}") for other, text in ranges.items()}
            yield Condition(str(key), str(value), {str(other): _domain(one) for other, one in parsed.items()})


def _domain(override: Override) -> Domain:
    value: Any = override.value()
    name = override.get_key_element()
    if isinstance(value, IntervalSweep):
        assert value.start is not None and value.end is not None
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        return _numbers(name, value.start, value.end, None, value.tags, whole)
    if isinstance(value, RangeSweep):
        assert value.start is not None and value.stop is not None
        whole = all(isinstance(number, int) for number in (value.start, value.stop, value.step))
        # As in a grid, the stop itself is left out.
        last = value.start + (math.ceil((value.stop - value.start) / value.step - 1e-9) - 1) * value.step
        return _numbers(name, value.start, last, value.step, value.tags, whole)
    if override.is_sweep_override():
        return Options(tuple(map(str, override.sweep_string_iterator())))
    return Options((override.get_value_element_as_str(),))


def _numbers(name: str, low: float, high: float, step: float | None, tags: set[str], whole: bool) -> Numbers:
    if tags - {"log"}:
        raise InputError(f"{name}: the tag {', '.join(sorted(tags - {'log'}))} is unknown; log is the one there is")
    log = "log" in tags
    if not (math.isfinite(low) and math.isfinite(high) and low <= high and (step is None or step > 0)):
        raise InputError(f"{name}: the numbers from {low:g} to {high:g} can't be searched; the lower one comes first")
    if log and low <= 0:
        raise InputError(f"{name}: a log range begins above 0, not at {low:g}")
    if log and step not in (None, 1):
        raise InputError(f"{name}: a log range has no step; write tag(log,interval({low:g},{high:g}))")
    return Numbers(low, high, None if log else step, log, whole)
