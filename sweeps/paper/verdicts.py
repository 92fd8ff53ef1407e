"""Whether the paper's claims about a table hold in our numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sweeps.difference import difference
from sweeps.paper.table import BASE, Claim, Column
from sweeps.records import Record

Word = Literal["holds", "does not hold", "can't tell"]


@dataclass(frozen=True)
class Verdict:
    """What our numbers say of a claim, and why, a comparison each."""

    claim: Claim
    word: Word
    reasons: tuple[str, ...]


def verdict(claim: Claim, rows: Mapping[str, Record], folder: Path) -> Verdict:
    """Judges a claim by paired 95 % intervals.

    It holds when every one of its differences has the claimed sign and an interval without 0; it does not hold when
    one has the other sign and an interval without 0; else, or where a row was not run or not measured, our numbers
    can't tell.

    Args:
        claim: of the paper.
        rows: our cells by the row's name.
        folder: of the sweep, with their samples.
    """
    words, reasons = [], []
    for lower in claim.lower:
        for than in claim.than:
            word, reason = _compared(claim.metric, lower, than, rows, folder)
            words.append(word)
            reasons.append(reason)
    if all(word == "holds" for word in words):
        found: Word = "holds"
    else:
        found = "does not hold" if "does not hold" in words else "can't tell"
    return Verdict(claim, found, tuple(reasons))


def _compared(metric: str, lower: str, than: str, rows: Mapping[str, Record], folder: Path) -> tuple[Word, str]:
    missing = [name for name in (lower, than) if name not in rows and name != BASE]
    if missing:
        return "can't tell", f"'{missing[0]}' was not run"
    if BASE in (lower, than):
        return _against_base(metric, lower, than, rows)
    one, other = rows[lower], rows[than]
    told = difference(metric, one, other, folder / one.cell, folder / other.cell)
    if told.ci95 is None or told.a is None or told.b is None:
        return "can't tell", f"{lower} against {than}: {told.unpaired or 'not measured'}"
    return _judged(lower, than, (told.a, told.b), told.ci95)


def _against_base(pattern: str, lower: str, than: str, rows: Mapping[str, Record]) -> tuple[Word, str]:
    """The record itself holds the paired interval of its change from the base."""
    record = rows[than if lower == BASE else lower]
    metric = Column("", pattern, percent=False).of(record.metrics)
    found = record.metrics[metric] if metric else None
    if found is None or found["ci95"][0] is None:
        return "can't tell", f"{lower} against {than}: not measured"
    low, high = found["ci95"]
    if lower == BASE:
        return _judged(lower, than, (found["base"], found["edited"]), (low, high))
    return _judged(lower, than, (found["edited"], found["base"]), (-high, -low))


def _judged(lower: str, than: str, values: tuple[float, float], interval: tuple[float, float]) -> tuple[Word, str]:
    (low, high), (one, other) = interval, values
    reason = f"{lower} {one:.3f}, {than} {other:.3f}: {other - one:+.3f} ({low:+.3f} to {high:+.3f})"
    if low > 0:
        return "holds", reason
    return ("does not hold" if high < 0 else "can't tell"), reason
