"""Metrics made by hand, for tests of what reads them."""

from collections.abc import Mapping
from typing import Any

from sweeps.records.metric import Metric

NOTHING = {"base": None, "edited": None, "delta": None, "ci95": (None, None), "n": None}


def made_metrics(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Metric]:
    """Of a record's entries by the names it has for them; what an entry does not say was not measured."""
    return {key: Metric.from_json(key, NOTHING | dict(entry)) for key, entry in values.items()}
