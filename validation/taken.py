"""The cell that the study goes on with: the one its search's rule names, or else the lowest that qualifies."""

from dataclasses import dataclass
from pathlib import Path

from sweeps.records.metric import value_of
from sweeps.records.record import Record
from sweeps.records.sweep import Sweep
from sweeps.results.best_cell import choose, within_limits


@dataclass(frozen=True)
class Taken:
    """A cell of a sweep.

    Attributes:
        record: None where no cell qualifies.
        why: what has to be said of it; empty where the rule names it.
    """

    record: Record | None
    why: str


def taken(name: str, output: Path) -> Taken:
    """By the selection half alone.

    The rule names no cell that its interval can't tell from the base. The study then goes on with the cell that has
    the best value within the rule's limits, and says so: what it does is found on the report half all the same.
    """
    sweep = Sweep.named(name, output)
    done = sweep.done()
    rule = sweep.rule(done)
    if rule is None:
        return Taken(None, "there is no rule")
    found = choose(done, rule, sweep.folder)
    if found.best is not None:
        cells = found.best.cells
        return Taken(next(record for record in done if record.cell in cells), found.why)
    qualified = [
        (value if rule.lowest else -value, record.cell, record)
        for record in within_limits(done, rule.where)
        if (value := value_of(record.metrics, rule.metric, "edited")) is not None
    ]
    if not qualified:
        return Taken(None, found.why)
    *_, record = min(qualified)
    return Taken(record, f"{found.why}; the study goes on with the best value within the limits, {record.cell}")
