"""`sweeps sync`: sends to Weights & Biases what was logged offline."""

from pathlib import Path
from typing import Annotated

import typer

from surgery.errors import InputError
from sweeps.commands.options import Name, Output
from sweeps.config.wandb_settings import require_destination
from sweeps.records.record import lock_file
from sweeps.records.sweep import Sweep, config_of
from sweeps.report.write import PAGE
from sweeps.terminal.cell_tables import console
from sweeps.tracking.sync import Destination, send, send_report, unsent
from sweeps.tracking.wandb_note import Note


def sync(
    name: Name,
    project: Annotated[str, typer.Option(help="in place of the one the cells were logged for")] = "",
    entity: Annotated[str, typer.Option(help="user or team, in place of the one the cells were logged for")] = "",
    output_dir: Output = Path("outputs"),
) -> None:
    """Sends each cell and the report to Weights & Biases once; what ran with tracking=none is sent from its records."""
    from filelock import FileLock, Timeout

    sweep = Sweep.named(name, output_dir)
    folder, records = sweep.folder, sweep.finished()
    to = console()
    waiting, note = unsent(records, folder), Note.load(folder)
    page = folder / PAGE
    if not waiting and (not page.is_file() or (note is not None and note.sent)):
        to.print(f"nothing to send, cells sent before: {len(records)}")
        return
    require_destination(project, entity, "then the same command again")
    where = Destination(entity or None, project or None)
    try:
        with FileLock(lock_file(folder, "wandb"), blocking=False):
            sent = send(unsent(records, folder), folder, where, to.print)
            tracking = config_of(folder / records[0].cell).get("tracking", {})
            reported = None if sent.failed else send_report(page, tracking, where)
    except Timeout:
        raise InputError(f"another command is sending '{name}' now") from None
    before = len(records) - len(waiting)
    to.print(f"sent {sent.count} of {len(records)} cells" + (f", {before} before" if before else ""))
    if reported:
        to.print("sent the report")
    if sent.address:
        to.print(sent.address, markup=False, soft_wrap=True)
    if sent.failed:
        raise InputError(f"not sent: {', '.join(sent.failed)} ({sent.reason}); the same command goes on from there")
    if reported is False:
        raise InputError("W&B did not take the report; the same command tries again")
