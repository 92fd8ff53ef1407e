"""A cell run again, and every metric held against its record."""

from pathlib import Path

from evaluation.engines.completions_server import ServerLost
from surgery.errors import InputError
from surgery.files.temporary_folder import TemporaryFolder
from sweeps.plan.materials import Materials
from sweeps.plan.replan import NotHere, replan
from sweeps.records.metric import Metric
from sweeps.records.record import Record
from sweeps.run.run_cell import run_cell
from sweeps.run.workbench import Workbench
from sweeps.store.store import Store
from sweeps.verify.verification import Check


def rerun(sweep: Path, record: Record, trust_code: bool = False) -> Check:
    """Runs a cell again, in a folder that goes away and without tracking, and compares every metric.

    Raises:
        InputError: when the cell can't be run here.
    """
    if record.status != "done":
        raise InputError(f"cell {record.cell} can't be compared: it {record.status}")
    record.require_this_identity()
    try:
        experiment = replan(sweep / record.cell, Materials(), trust_code)
    except NotHere as reason:
        raise InputError(f"cell {record.cell} can't be run again: {reason}") from None
    with TemporaryFolder("verify") as temporary:
        for evaluator in experiment.evaluators.values():
            evaluator.prepare()
        folder = temporary / record.cell
        try:
            run_cell(Workbench(Store(temporary / "store"), [experiment]), experiment, folder).save(folder)
        except ServerLost as reason:
            raise InputError(f"cell {record.cell} can't be run again now: {reason}") from None
        # Read again, so that both have been through the same format.
        return compared(record, Record.load(folder))


def compared(record: Record, again: Record) -> Check:
    """Every metric's values, and the edit's fingerprint, held against those of a second run."""
    check = Check("rerun")
    worst = 0.0
    for name in sorted({*record.metrics, *again.metrics}):
        was, now = record.metrics.get(name), again.metrics.get(name)
        check.checked += 1
        if was is None or now is None:
            check.wrong.append(f"{name} is {'new' if was is None else 'no longer measured'}")
        elif was != now:
            check.wrong.append(f"{name}: {_first_difference(was, now)}")
            worst = max(worst, _largest(was, now))
    check.checked += 1
    if record.edit.get("fingerprint") != again.edit.get("fingerprint"):
        check.wrong.append("the edit is another one")
    if check.wrong and dict(record.versions) != dict(again.versions):
        check.wrong.append(f"versions differ, and the largest difference of a metric is {worst:.3g}")
    return check


def _values(metric: Metric) -> dict[str, float | None]:
    values = {"edited": metric.edited, "base": metric.base, "delta": metric.delta, "n": metric.n}
    return {**values, "ci_low": metric.low, "ci_high": metric.high, "p": metric.p}


def _first_difference(was: Metric, now: Metric) -> str:
    values = _values(now)
    return next(f"{key} was {old}, is {values[key]}" for key, old in _values(was).items() if old != values[key])


def _largest(was: Metric, now: Metric) -> float:
    pairs = zip(_values(was).values(), _values(now).values(), strict=True)
    return max((abs(old - new) for old, new in pairs if old is not None and new is not None), default=0.0)
