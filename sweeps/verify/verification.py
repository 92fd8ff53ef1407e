"""Whether a sweep is what its records say: checksums, files, versions, identities, and one cell run again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_file
from sweeps.plan.materials import Materials
from sweeps.plan.plan import STORE
from sweeps.plan.replan import NotHere, replan
from sweeps.records.record import RESULT, TABLE, Record, table_text, versions
from sweeps.store.kept_digests import KeptDigests

if TYPE_CHECKING:
    from sweeps.plan.experiment import Experiment


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


def check_versions(records: Sequence[Record]) -> Check:
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
        check.wrong.append(f"{package}: {recorded} in {count} of {len(records)} records, {now} is installed")
    return check


def check_identities(sweep: Path, records: Iterable[Record], trust_code: bool = False) -> Check:
    """Plans each cell again from its recorded config: model, texts and prompts are read, and have to give its id."""
    check = Check("identities")
    # The sweep's own store, where the digests of large models are kept.
    materials = Materials(keep=KeptDigests(sweep.parent.parent / STORE))
    for record in records:
        if record.status != "done":
            continue
        if (older := record.older_identity) is not None:
            check.left_out.append(f"{record.cell}: {older}")
            continue
        try:
            experiment = replan(sweep / record.cell, materials, trust_code)
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
