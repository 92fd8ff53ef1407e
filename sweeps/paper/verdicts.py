"""Whether the paper's claims about a table hold in our numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sweeps.paper.table import Claim, Column, PaperTable
from sweeps.records.record import Record
from sweeps.results.difference import difference

Word = Literal["holds", "does not hold", "can't tell"]


@dataclass(frozen=True)
class Verdict:
    """What our numbers say of a claim, and why, a comparison each."""

    claim: Claim
    word: Word
    reasons: tuple[str, ...]


def verdict(claim: Claim, table: PaperTable, rows: Mapping[str, Record], folder: Path) -> Verdict:
    """Judges a claim by paired 95 % intervals.

    It holds when every one of its differences has the claimed sign and an interval without 0; it does not hold when
    one has the other sign and an interval without 0; else, or where a row was not run or not measured, our numbers
    can't tell. A claim with `within` holds when every interval lies within that distance of 0, and does not hold when
    one lies outside it.

    Args:
        claim: of the paper.
        table: that it is about.
        rows: our cells by the row's name.
        folder: of the sweep, with their samples.
    """
    words, reasons = [], []
    for lower in claim.lower:
        for than in claim.than:
            word, reason = _compared(claim, lower, than, table, rows, folder)
            words.append(word)
            reasons.append(reason)
    return Verdict(claim, of_all(words), tuple(reasons))


def _compared(
    claim: Claim, lower: str | float, than: str | float, table: PaperTable, rows: Mapping[str, Record], folder: Path
) -> tuple[Word, str]:
    if isinstance(lower, str) and isinstance(than, str):
        found = _difference(claim.metric, lower, than, table, rows, folder)
    else:
        found = _from_a_number(claim.metric, lower, than, rows)
    if isinstance(found, str):
        return "can't tell", found
    (one, other), (low, high) = found
    told = ((lower, one), (than, other))
    first, second = (f"{name} {value:.3f}" if isinstance(name, str) else f"{value:g}" for name, value in told)
    sign = -1
    if not isinstance(lower, str) or any(row.is_base for row in table.rows if row.name == lower):
        # The claim is of a rise: what changed stands first all the same.
        first, second, sign = second, first, 1
    ends = sorted((sign * low, sign * high))
    reason = f"{first} against {second}: {sign * (other - one):+.3f} ({ends[0]:+.3f} to {ends[1]:+.3f})"
    return judged(low, high, claim.within), reason


def judged(low: float, high: float, within: float | None = None) -> Word:
    """What a 95 % interval says of the claim that a difference is above 0, or with `within` that it is nearer to 0."""
    if within is None:
        return "holds" if low > 0 else "does not hold" if high < 0 else "can't tell"
    inside, outside = -within < low and high < within, low > within or high < -within
    return "holds" if inside else "does not hold" if outside else "can't tell"


def of_all(words: Sequence[Word]) -> Word:
    """Of a claim that has several parts: it holds when all do, and does not when one does not."""
    if all(word == "holds" for word in words):
        return "holds"
    return "does not hold" if "does not hold" in words else "can't tell"


Compared = tuple[tuple[float, float], tuple[float, float]]


def _difference(
    metric: str, lower: str, than: str, table: PaperTable, rows: Mapping[str, Record], folder: Path
) -> Compared | str:
    """The values of two rows and the paired 95 % interval of than - lower; or why there is none."""
    row = {row.name: row for row in table.rows}
    one, other = (table.record(row[name], rows) for name in (lower, than))
    for name, record in ((lower, one), (than, other)):
        if record is None:
            return f"'{name}' was not run"
    assert one is not None and other is not None
    if row[lower].is_base or row[than].is_base:
        return _against_base(metric, lower, than, one if row[than].is_base else other, edited_first=row[than].is_base)
    known = Column("", metric, percent=False).of(one.metrics)
    name = known.key if known else metric
    told = difference(name, one, other, folder / one.cell, folder / other.cell)
    if told.ci95 is None or told.a is None or told.b is None:
        return f"{lower} against {than}: {told.unpaired or 'not measured'}"
    return (told.a, told.b), told.ci95


def _against_base(pattern: str, lower: str, than: str, record: Record, edited_first: bool) -> Compared | str:
    """The record itself holds the paired interval of its change from the base."""
    found = Column("", pattern, percent=False).of(record.metrics)
    if found is None or found.interval is None or found.base is None or found.edited is None:
        return f"{lower} against {than}: not measured"
    low, high = found.interval
    if edited_first:
        return (found.edited, found.base), (-high, -low)
    return (found.base, found.edited), (low, high)


def _from_a_number(metric: str, lower: str | float, than: str | float, rows: Mapping[str, Record]) -> Compared | str:
    """A share that has no base, against a number: Wilson's interval, from how many samples it is a share of."""
    from scipy.stats import binomtest

    name = lower if isinstance(lower, str) else str(than)
    if name not in rows:
        return f"'{name}' was not run"
    found = rows[name].metrics.get(metric)
    if found is None or found.edited is None or not found.n:
        return f"{name}: not measured"
    share, n = found.edited, found.n
    interval = binomtest(round(share * n), n).proportion_ci(method="wilson")
    if isinstance(than, str):
        return (float(lower), share), (interval.low - float(lower), interval.high - float(lower))
    return (share, float(than)), (float(than) - interval.high, float(than) - interval.low)
