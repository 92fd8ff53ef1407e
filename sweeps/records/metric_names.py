"""Names of metrics that a person gave, held against those there are."""

from collections.abc import Iterable
from difflib import SequenceMatcher

from sweeps.records.metric import name_of

# Of many names, so many are told, the nearest first.
TOLD = 6


def nearest_metrics(name: str, known: Iterable[str]) -> str:
    """The metrics there are, of either half, those whose names are nearest first; `none` where there is none."""
    names = list(dict.fromkeys(map(name_of, known)))
    ordered = sorted(names, key=lambda one: (name not in one, -SequenceMatcher(None, name, one).ratio()))
    more = f" and {len(ordered) - TOLD} more" if len(ordered) > TOLD else ""
    return ", ".join(ordered[:TOLD]) + more if ordered else "none"
