"""`sweeps sync`: sends to Weights & Biases what was logged offline."""

from pathlib import Path
from typing import Annotated

import typer

from surgery.errors import InputError
from sweeps.records.sweep import Name, Output, finished_records, sweep_folder
from sweeps.terminal.cell_tables import console


def sync(
    name: Name,
    project: Annotated[str, typer.Option(help="in place of the one the cells were logged for")] = "",
    entity: Annotated[str, typer.Option(help="user or team, in place of the one the cells were logged for")] = "",
    output_dir: Output = Path("outputs"),
) -> None:
    """Sends each cell to Weights & Biases once; cells run with tracking=none are sent from their records."""
    from filelock import FileLock, Timeout

    from sweeps.config.wandb_settings import require_destination
    from sweeps.records.record import lock_file
    from sweeps.tracking.sync import Destination, send, unsent

    folder = sweep_folder(name, output_dir)
    records = finished_records(name, output_dir)
    to = console()
    waiting = unsent(records, folder)
    if not waiting:
        to.print(f"all {len(records)} cells were sent before")
        return
    require_destination(project, entity, "then the same command again")
    try:
        with FileLock(lock_file(folder, "wandb"), blocking=False):
            sent = send(unsent(records, folder), folder, Destination(entity or None, project or None), to.print)
    except Timeout:
        raise InputError(f"another command is sending '{name}' now") from None
    before = len(records) - len(waiting)
    to.print(f"sent {sent.count} of {len(records)} cells" + (f"; {before} were sent before" if before else ""))
    if sent.address:
        to.print(sent.address, markup=False, soft_wrap=True)
    if sent.failed:
        raise InputError(
            f"{len(sent.failed)} cells were not sent ({', '.join(sent.failed)}): {sent.reason}; "
            "the same command goes on with them"
        )
