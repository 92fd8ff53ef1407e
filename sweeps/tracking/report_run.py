"""A sweep's page as an artifact in Weights & Biases, in a run of its own beside those of the cells."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from sweeps.config.wandb_key import without_key
from sweeps.plan.plan import Plan
from sweeps.tracking.tracker import mode_of
from sweeps.tracking.wandb_note import Note
from sweeps.tracking.wandb_run import REPORT, log_page, open_run


def track_report(plan: Plan, page: Path, say: Callable[[str], None]) -> None:
    """Sends or logs the page of a plan's sweep as its cells are; a failure is said and costs nothing else.

    Args:
        plan: of the command that wrote the page.
        page: report.html in the sweep's folder.
        say: told of a failure.
    """
    try:
        # What a cell's tracker said of a server that does not answer need not be said again.
        mode = mode_of(plan, lambda text: None)
        if mode is not None:
            log_report(plan.tracking, page, mode)
    except Exception as error:  # a tracking service must not cost a result
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        say(f"tracking failed for the report ({without_key(reason)}); the page is complete")


def log_report(tracking: Mapping[str, Any], page: Path, mode: Literal["online", "offline"]) -> Note:
    """Logs a page as the run of its sweep's report, the same run each time, and notes it in the sweep's folder.

    Args:
        tracking: `project`, `entity` and `tags`.
        page: report.html in the sweep's folder, `OUTPUT_DIR/runs/NAME`.
        mode: an offline run is sent by `sweeps sync`.
    """
    sweep = page.parent
    output_dir = sweep.parent.parent
    run = open_run(
        tracking,
        output_dir,
        mode=mode,
        group=sweep.name,
        name=f"report of {sweep.name}",
        config={},
        run_id=f"report-{sha256(sweep.name.encode()).hexdigest()[:12]}",
        job_type=REPORT,
    )
    note = Note.of(run, output_dir, sent=mode == "online")
    log_page(run, page)
    note.save(sweep)
    return note
