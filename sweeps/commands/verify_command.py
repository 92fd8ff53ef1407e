"""`sweeps verify`: whether a sweep is still what its records say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surgery.errors import InputError
from sweeps.commands.options import Name, Output
from sweeps.config.resolvers import register
from sweeps.records.record import RESULT, cell_folders
from sweeps.records.sweep import Sweep
from sweeps.results.cell_selector import named_id
from sweeps.terminal.cell_tables import console
from sweeps.terminal.library_output import quiet_libraries
from sweeps.terminal.printed_table import print_table
from sweeps.verify.verification import check_files, check_identities, check_records, check_table, check_versions

if TYPE_CHECKING:
    from rich.table import Table

    from sweeps.records.record import Record
    from sweeps.verify.verification import Check


def verify(
    name: Name,
    cell: Annotated[list[str] | None, typer.Option("--cell", help="only this cell; repeat")] = None,
    again: Annotated[str, typer.Option("--rerun", help="run this cell again and compare every metric")] = "",
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="let recorded configs run code that is not part of this package")
    ] = False,
    output_dir: Output = Path("outputs"),
) -> None:
    """Recomputes checksums, versions, model and texts, and one cell of your choice; exit code 1 where they differ."""
    register()
    sweep, to = Sweep.named(name, output_dir), console()
    folder = sweep.folder
    finished = [place for place in cell_folders(folder) if (place / RESULT).is_file()]
    if not finished:
        raise InputError(f"sweep '{name}' has no finished cell yet")
    cells = [place.name for place in finished]
    asked = [folder / named_id(one, sweep, cells) for one in cell or []]
    read, records = check_records(asked or finished)
    chosen = _rerun_of(named_id(again, sweep, [place.name for place in asked or finished]), records) if again else None
    checks = [read, check_files(folder, records), check_versions(records)]
    if not asked and not read.wrong:
        checks.append(check_table(folder, records))
    quiet_libraries()
    checks.append(check_identities(folder, records, trust_code))
    if chosen is not None:
        from sweeps.verify.rerun import rerun  # with torch, whose import takes seconds

        checks.append(rerun(folder, chosen, trust_code))
    for check in checks:
        for line in [*check.wrong, *check.left_out]:
            to.print(f"{check.name}: {' '.join(line.split())}", markup=False, soft_wrap=True)
    print_table(_table(checks), to)
    if chosen is None:
        to.print("`--rerun CELL` runs a cell again and compares every metric")
    if wrong := sum(len(check.wrong) for check in checks):
        raise InputError(f"{wrong} of what was checked {'does' if wrong == 1 else 'do'} not match, as said above")
    to.print("all that was checked matches")


def _rerun_of(cell: str, records: "list[Record]") -> "Record":
    found = next((record for record in records if record.cell == cell), None)
    if found is None:
        raise InputError(f"'{cell}' can't be run again: its record is damaged")
    return found


def _table(checks: "list[Check]") -> "Table":
    from rich.table import Table

    table = Table("check")
    for column in ("checked", "do not match", "not checked"):
        table.add_column(column, justify="right")
    for check in checks:
        table.add_row(check.name, str(check.checked), str(len(check.wrong) or "-"), str(len(check.left_out) or "-"))
    return table
