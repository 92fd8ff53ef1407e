"""Whether a sweep is what its records say: checksums, files, versions, identities, and one cell run again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgery.errors import InputError
from surgery.files.temporary_folder import TemporaryFolder
from surgery.files.whole_files import sha256_of_file
from sweeps.plan.materials import Materials
from sweeps.plan.plan import STORE
from sweeps.plan.replan import NotHere, replan
from sweeps.records.record import RESULT, TABLE, Record, table_text, versions
from sweeps.store.kept_digests import KeptDigests

if TYPE_CHECKING:
    from sweeps.plan.plan import Experiment


@dataclass
class Check:
    """One thing that was held against the records.

    Attributes:
        name: what it is.
        checked: how many were held against what was written.
        wrong: a sentence for each that does not match.
        left_out: a sentence for each that could not be checked.
    """

    name: str
    checked: int = 0
    wrong: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def check_records(folders: Iterable[Path]) -> tuple[Check, list[Record]]:
    """Reads each record and holds it against its own checksum and its folder's name; the sound ones."""
    check, sound = Check("records"), []
    for folder in folders:
        check.checked += 1
        try:
            record = Record.load(folder)
        except InputError as error:
            check.wrong.append(str(error))
            continue
        if record.cell != folder.name:
            check.wrong.append(f"'{folder / RESULT}' is the record of another cell, {record.cell}")
        else:
            sound.append(record)
    return check, sound


def check_files(sweep: Path, records: Iterable[Record]) -> Check:
    """Holds the SHA-256 of each file beside a record against the one in it."""
    check = Check("files")
    for record in records:
        if record.status == "done" and not record.files:
            check.left_out.append(f"{record.cell}: its record holds no checksums of files")
        for name, expected in record.files.items():
            path = sweep / record.cell / name
            check.checked += 1
            if not path.is_file():
                check.wrong.append(f"{record.cell}: {name} is missing")
            elif (found := sha256_of_file(path)) != expected:
                check.wrong.append(f"{record.cell}: {name} is not what was written: {found[:12]}, not {expected[:12]}")
    return check


def check_table(sweep: Path, records: Sequence[Record]) -> Check:
    """Holds results.csv against the records."""
    check = Check(TABLE, checked=1)
    if not (sweep / TABLE).is_file():
        check.wrong.append(f"{TABLE} is missing")
    elif (sweep / TABLE).read_bytes() != table_text(records).encode():
        check.wrong.append(f"{TABLE} is not what the records say")
    return check


def check_versions(records: Iterable[Record]) -> Check:
    """Holds the recorded versions against the installed ones."""
    check, installed = Check("versions"), versions()
    differing: dict[tuple[str, str], int] = {}
    for record in records:
        check.checked += len(record.versions)
        for package, recorded in record.versions.items():
            if installed.get(package, "not installed") != recorded:
                differing[package, recorded] = differing.get((package, recorded), 0) + 1
    for (package, recorded), count in differing.items():
        now = installed.get(package, "not installed")
        check.wrong.append(f"{package}: {recorded} made {count} cells, {now} is installed")
    return check


def check_identities(sweep: Path, records: Iterable[Record], trust_code: bool = False) -> Check:
    """Plans each cell again from its recorded config: model, texts and prompts are read, and have to give its id."""
    check = Check("identities")
    # The sweep's own store, where the digests of large models are kept.
    materials = Materials(keep=KeptDigests(sweep.parent.parent / STORE))
    with TemporaryFolder("verify") as temporary:
        for record in records:
            if record.status != "done":
                continue
            if (older := record.older_identity) is not None:
                check.left_out.append(f"{record.cell}: {older}")
                continue
            try:
                experiment = replan(sweep / record.cell, temporary, materials, trust_code)
            except NotHere as reason:
                check.left_out.append(f"{record.cell}: {reason}")
                continue
            except InputError as error:
                check.wrong.append(f"{record.cell}: it can't be planned again: {error}")
                continue
            check.checked += 1
            if experiment.cell.id != record.cell:
                means = f"{record.cell}: its config now means cell {experiment.cell.id}"
                check.wrong += [f"{means}: {reason}" for reason in _why(record, experiment)]
    return check


def _why(record: Record, experiment: "Experiment") -> list[str]:
    """Each thing that is another than it was; of the model its weights, config, tokenizer and so on apart."""
    cell, parts = experiment.cell, experiment.cell.model_identity.parts()
    reasons = [
        f"the model's {name.replace('_', ' ')} changed ({parts.get(name)}, not {was})"
        for name, was in record.model.items()
        if parts.get(name) != was
    ]
    if record.protocol not in ("", cell.protocol):
        reasons.append("what is measured, its prompts or its tasks are others")
    now = cell.keys()
    reasons += [f"{key} is {now.get(key)}, not {was}" for key, was in record.keys.items() if now.get(key) != was]
    return reasons or ["the texts of the behavior are others"]


def rerun(sweep: Path, record: Record, trust_code: bool = False) -> Check:
    """Runs a cell again, in a folder that goes away and without tracking, and compares every metric.

    Raises:
        InputError: when the cell can't be run here.
    """
    from sweeps.run.run_cell import run_cell
    from sweeps.run.session import Session
    from sweeps.store.store import Store

    if record.status != "done":
        raise InputError(f"cell {record.cell} can't be compared: it {record.status}")
    record.require_this_identity()
    with TemporaryFolder("verify") as temporary:
        try:
            experiment = replan(sweep / record.cell, temporary, Materials(), trust_code)
        except NotHere as reason:
            raise InputError(f"cell {record.cell} can't be run again: {reason}") from None
        for evaluator in experiment.evaluators.values():
            evaluator.prepare()
        folder = temporary / record.cell
        session = Session(Store(temporary / "store"), [experiment])
        run_cell(session, experiment, folder, lambda stage, seconds: None).save(folder)
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


def _values(metric: Mapping[str, Any]) -> dict[str, float | None]:
    low, high = metric["ci95"]
    return {**{key: metric[key] for key in ("edited", "base", "delta", "n")}, "ci_low": low, "ci_high": high}


def _first_difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    values = _values(now)
    return next(f"{key} was {old}, is {values[key]}" for key, old in _values(was).items() if old != values[key])


def _largest(was: Mapping[str, Any], now: Mapping[str, Any]) -> float:
    pairs = zip(_values(was).values(), _values(now).values(), strict=True)
    return max((abs(old - new) for old, new in pairs if old is not None and new is not None), default=0.0)
