"""Metrics made by hand, for tests of what reads them."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from evaluation.evaluator import NamesMetrics
from evaluation.measurements.measurement import UNENDED
from sweeps.records.metric import Metric

NOTHING = {"base": None, "edited": None, "delta": None, "ci95": (None, None), "n": None}


def made_metrics(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Metric]:
    """Of a record's entries by the names it has for them; what an entry does not say was not measured."""
    return {key: Metric.from_json(key, NOTHING | dict(entry)) for key, entry in values.items()}


def assert_named_beforehand(one: NamesMetrics, measured: Iterable[str]) -> None:
    """What an evaluator or scorer measured is what it says it will, and all of it, but for thoughts where none are."""
    names, patterns = list(measured), one.metric_names()
    assert [name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns)] == []
    told = [pattern for pattern in patterns if f"/{UNENDED}" not in pattern]
    assert [pattern for pattern in told if not any(fnmatchcase(name, pattern) for name in names)] == []
