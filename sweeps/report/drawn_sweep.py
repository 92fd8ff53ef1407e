"""The cells of a sweep as the charts of its report need them: columns of numbers, and what tells cells apart."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from sweeps.charts.chart import Column, Interval
from sweeps.report.fronts import front_of

BASE, EDITED, CHANGE, LOW, HIGH = range(5)
Row = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class DrawnSweep:
    """What `sweeps.report.contents` gathered, read for charts.

    Attributes:
        values: of `Contents`.
    """

    values: Mapping[str, Any]

    @property
    def rows(self) -> Sequence[Row]:
        """The cells that are done, seeds pooled."""
        return self.values["rows"]  # type: ignore[no-any-return]

    @cached_property
    def chosen(self) -> list[Row]:
        """The chosen cell, or none."""
        return [row for row in self.rows if row["chosen"]]

    @cached_property
    def sound(self) -> list[Row]:
        """Cells that did not break the text, but for the chosen one."""
        return [row for row in self.rows if not row["broken"] and not row["chosen"]]

    @cached_property
    def broken(self) -> list[Row]:
        """Cells that broke the text."""
        return [row for row in self.rows if row["broken"] and not row["chosen"]]

    @property
    def first(self) -> Row:
        """The cell that is looked at first: the chosen one, else the first of all."""
        return next(iter(self.chosen), self.rows[0])

    @cached_property
    def differing(self) -> list[str]:
        """Swept keys that not all cells have the same value of."""
        return [key for key in self.values["swept"] if len({str(row["keys"].get(key)) for row in self.rows}) > 1]

    @cached_property
    def numeric(self) -> list[str]:
        """Those whose values are numbers: what can be an axis."""
        return [key for key in self.differing if key in self.values["grid"]]

    @property
    def first_key(self) -> str:
        """Of the swept numbers, of which there are some, the one that curves are drawn over at first."""
        return "alpha" if "alpha" in self.numeric else self.numeric[0]

    def values_of(self, key: str) -> list[float]:
        """The different values of a swept number, from the lowest."""
        return self.once(("values", key), lambda: sorted({row["keys"][key] for row in self.rows}))

    def once(self, what: tuple[str, ...], make: Callable[[], T]) -> T:
        """What many charts ask for, made the first time."""
        if what not in self._made:
            self._made[what] = make()
        return self._made[what]  # type: ignore[no-any-return]

    @cached_property
    def _made(self) -> dict[tuple[str, ...], Any]:
        return {}

    @property
    def colour_key(self) -> str | None:
        """The swept number that colours stand for."""
        grid = self.values["grid"]
        return "alpha" if "alpha" in grid else next(iter(grid), None)

    def front(self, x: str, y: str) -> list[Row]:
        """Cells that no other is better than in both, along the first metric; none where both are one."""
        if x == y:
            return []
        pair = min(x, y), max(x, y)
        front = self.once(("front", *pair), lambda: set(front_of(self.rows, pair, self.values["better"])))
        found = [row for row in self.rows if row["cell"] in front]
        return sorted(found, key=lambda row: (value(row, x), value(row, y)))

    def bases(self, *metrics: str) -> list[tuple[float, ...]]:
        """What the unedited model measures; several where cells are of several models or measured differently."""
        found = {tuple(value(row, metric, BASE) for metric in metrics) for row in self.rows}
        return sorted(one for one in found if not any(map(math.isnan, one)))

    def interval(self, row: Row, metric: str) -> Interval | None:
        """The 95 % interval of the change, around the edited value, as far as the metric itself can go."""
        change, edited = value(row, metric, CHANGE), value(row, metric)
        ends = [edited + value(row, metric, bound) - change for bound in (LOW, HIGH)]
        if any(map(math.isnan, ends)):
            return None
        lowest, highest = self.values["possible"][metric]
        low = ends[0] if lowest is None else max(lowest, ends[0])
        high = ends[1] if highest is None else min(highest, ends[1])
        return rounded(low), rounded(high)


def value(row: Row, metric: str, which: int = EDITED) -> float:
    """NaN for what was not measured."""
    found = row["metrics"].get(metric)
    return math.nan if found is None or found[which] is None else float(found[which])


def column(rows: Sequence[Row], metric: str, which: int = EDITED) -> Column:
    """A metric's values; None for what was not measured."""
    found = (value(row, metric, which) for row in rows)
    return tuple(None if math.isnan(one) else one for one in found)


def measured(rows: Sequence[Row], *metrics: str) -> list[Row]:
    """The cells that measured all of these."""
    return [row for row in rows if not any(math.isnan(value(row, metric)) for metric in metrics)]


def cells(rows: Sequence[Row]) -> tuple[str, ...]:
    """Their ids."""
    return tuple(row["cell"] for row in rows)


def rounded(number: float) -> float:
    """Six significant places, more than a drawing shows."""
    return float(f"{number:.6g}")


def with_words(values: Sequence[float]) -> tuple[tuple[float, str], ...]:
    """Ticks at 0, 1, 2, … that stand for these numbers."""
    return tuple((float(place), f"{number:g}") for place, number in enumerate(values))
