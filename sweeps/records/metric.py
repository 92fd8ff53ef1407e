"""A metric of a cell: base, edited and what lies between; and how records, tables and people name it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from evaluation.comparison.compare import Comparison
    from evaluation.measurements.measurement import Half

# What the names of the selection half begin with, in records, tables and commands; no other module knows it.
_SELECTION = "selection/"
_SIGNIFICANT = 0.05

Of = Literal["edited", "base", "delta", "ratio"]


def key_of(name: str, half: "Half") -> str:
    """What a metric is called in a record: its name on the report half, `selection/NAME` on the other."""
    return f"{_SELECTION}{name}" if half == "selection" else name


def name_of(key: str) -> str:
    """The name without the half, of what `key_of` made."""
    return key.removeprefix(_SELECTION)


def half_of(key: str) -> "Half":
    """The half, of what `key_of` made."""
    return "selection" if key.startswith(_SELECTION) else "report"


@dataclass(frozen=True)
class Metric:
    """One metric of one cell on one half of the samples.

    Attributes:
        name: such as `toxicity/toxic_rate`.
        half: cells are chosen on `selection` and told on `report`.
        base, edited: values of the two models; `base` is None where there is nothing to compare with.
        delta: edited - base.
        low, high: the ends of its paired 95 % interval.
        p: two-sided, of no difference; records of earlier versions have none.
        n: how many samples.
        seeds: of how many seeds it is, where cells were pooled.
        sd_over_seeds: the standard deviation over seeds of `delta` (of `edited` where there is no base).
    """

    name: str
    half: "Half" = "report"
    base: float | None = None
    edited: float | None = None
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    n: int | None = None
    seeds: int = 1
    sd_over_seeds: float | None = None

    @classmethod
    def of(cls, found: "Comparison") -> Self:
        """What is kept of a comparison."""
        low, high = found.ci95
        return cls(found.name, found.half, found.base, found.edited, found.delta, low, high, found.p, found.n)

    @classmethod
    def from_json(cls, key: str, values: Mapping[str, Any]) -> Self:
        """Of a record: {"base", "edited", "delta", "ci95": [low, high], "p", "n"}, the p not in earlier versions.

        Raises:
            ValueError: when one of these is missing.
        """
        if missing := [name for name in ("base", "edited", "delta", "ci95", "n") if name not in values]:
            raise ValueError(f"the metric {key} has no {missing[0]}")
        low, high = values["ci95"]
        base, edited, delta = values["base"], values["edited"], values["delta"]
        return cls(name_of(key), half_of(key), base, edited, delta, low, high, values.get("p"), values["n"])

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads; the seeds are of a pool, which no record is."""
        values = {"base": self.base, "edited": self.edited, "delta": self.delta}
        return values | {"ci95": [self.low, self.high], "p": self.p, "n": self.n}

    @property
    def key(self) -> str:
        """What it is called in a record."""
        return key_of(self.name, self.half)

    def columns(self) -> dict[str, float | int | None]:
        """The columns of results.csv that tell it."""
        return {
            self.key: self.edited,
            f"{self.key}/base": self.base,
            f"{self.key}/delta": self.delta,
            f"{self.key}/ci_low": self.low,
            f"{self.key}/ci_high": self.high,
            f"{self.key}/p": self.p,
            f"{self.key}/n": self.n,
        }

    def value(self, of: Of) -> float | None:
        """`edited`, `base`, `delta`, or `ratio`, edited over base; None where there is none."""
        if of == "ratio":
            return None if self.edited is None or not self.base else float(self.edited) / float(self.base)
        found = {"edited": self.edited, "base": self.base, "delta": self.delta}[of]
        return None if found is None else float(found)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends of the interval; None where one is missing."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def distinguishable(self) -> bool:
        """Whether the interval leaves no room for no change.

        An interval without width, of one sample say, tells nothing by itself; there it is p that does. What has
        neither (a metric without a base, an import) is taken as it stands.
        """
        if self.interval is None:
            return self.delta is None or self.delta != 0
        low, high = self.interval
        if low == high and self.p is not None:
            return bool(self.p < _SIGNIFICANT)
        return not low <= 0 <= high


# Of a cell, by what a record calls them.
Metrics = Mapping[str, Metric]


def selected(metrics: Metrics, name: str) -> Metric | None:
    """A metric where cells are chosen: on the selection half where it has one, else as it is told; None for neither."""
    return metrics.get(key_of(name, "selection")) or metrics.get(name)


def value_of(metrics: Metrics, name: str, of: Of) -> float | None:
    """What a cell is chosen by, of a metric; None where the edited model has no value, or there is none to compare."""
    found = selected(metrics, name)
    return None if found is None or found.edited is None else found.value(of)
