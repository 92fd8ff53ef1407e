"""Sends to Weights & Biases what was logged offline, or not at all: each cell once."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from sweeps.config.wandb_key import without_key
from sweeps.records.record import Record
from sweeps.records.sweep import config_of
from sweeps.records.told_keys import TellingKeys
from sweeps.tracking.report_run import log_report
from sweeps.tracking.wandb_note import Note
from sweeps.tracking.wandb_run import finish_writing, log_record, open_run, require_server

# Where a cell was run without tracking, no project was named; conf/tracking/wandb.yaml has the same.
PROJECT = "model-surgery"
# Runs sent by one process of W&B: starting it costs more than sending a small run.
AT_ONCE = 20
# Of the environment: whoever gives the command wants to send, and to hear what came of it.
IGNORED = ("WANDB_MODE", "WANDB_DISABLED", "WANDB_SILENT", "WANDB_RUN_ID", "WANDB_RESUME")


@dataclass(frozen=True)
class Destination:
    """Where runs go; what is None is as the run was logged."""

    entity: str | None = None
    project: str | None = None

    @property
    def options(self) -> list[str]:
        """For `wandb sync`."""
        entity = ["--entity", self.entity] if self.entity else []
        return entity + (["--project", self.project] if self.project else [])


@dataclass(frozen=True)
class Sent:
    """What a call sent: how many runs, the project's address where W&B told it, and the cells that stayed."""

    count: int
    address: str | None
    failed: tuple[str, ...]
    reason: str


def unsent(records: Sequence[Record], sweep: Path) -> list[Record]:
    """The cells of a sweep that the server does not have yet."""
    return [record for record in records if not ((note := Note.load(sweep / record.cell)) and note.sent)]


def send(
    records: Sequence[Record],
    sweep: Path,
    destination: Destination,
    say: Callable[[str], None] = lambda text: None,
) -> Sent:
    """Sends cells, in batches; a cell counts as sent only once W&B has marked its run so.

    Args:
        records: the cells to send.
        sweep: the folder of the sweep, `OUTPUT_DIR/runs/NAME`.
        destination: in place of the project and entity they were logged for.
        say: told of each batch.

    Raises:
        InputError: when the server can't be reached.
    """
    require_server()
    output_dir, telling = sweep.parent.parent, TellingKeys([record.keys for record in records])
    count, address, failed, reason = 0, None, [], ""
    for start in range(0, len(records), AT_ONCE):
        batch = records[start : start + AT_ONCE]
        notes = {record.cell: _note_of(record, sweep, telling, destination) for record in batch}
        finish_writing()
        waiting = [output_dir / note.folder for note in notes.values() if not _is_marked(output_dir / note.folder)]
        said = _wandb_sync(waiting, destination) if waiting else ""
        address = _address(said) or address
        for cell, note in notes.items():
            if _is_marked(output_dir / note.folder):
                replace(note, sent=True).save(sweep / cell)
                count += 1
            else:
                failed.append(cell)
                reason = without_key(_reason(said))
        say(f"{count} of {len(records)} sent")
    return Sent(count, address, tuple(failed), reason)


def send_report(page: Path, tracking: Mapping[str, Any], destination: Destination) -> bool | None:
    """Sends the page of a sweep as an artifact; whether W&B took it, None where there is none, or it has it already.

    Args:
        page: report.html in the sweep's folder.
        tracking: of the sweep's cells, where they were tracked.
        destination: in place of the project and entity they were logged for.
    """
    sweep, output_dir = page.parent, page.parent.parent.parent
    note = Note.load(sweep)
    if not page.is_file() or (note is not None and note.sent):
        return None
    if note is None or not any((output_dir / note.folder).glob("*.wandb")):
        note = log_report(_destined(tracking, destination), page, "offline")
        finish_writing()
    folder = output_dir / note.folder
    if not _is_marked(folder):
        _wandb_sync([folder], destination)
    if sent := _is_marked(folder):
        replace(note, sent=True).save(sweep)
    return sent


def _destined(tracking: Mapping[str, Any], destination: Destination) -> dict[str, Any]:
    """What runs are opened with: as they were tracked, or else in our project, and where the command says."""
    known = tracking if tracking.get("kind") == "wandb" else {"project": PROJECT}
    return {**known, **{key: value for key, value in vars(destination).items() if value}}


def _note_of(record: Record, sweep: Path, telling: TellingKeys, destination: Destination) -> Note:
    """The cell's run as it was logged, or else one made from its record."""
    note, output_dir = Note.load(sweep / record.cell), sweep.parent.parent
    if note is not None and any((output_dir / note.folder).glob("*.wandb")):
        return note
    config = config_of(sweep / record.cell)
    run = open_run(
        _destined(config.get("tracking", {}), destination),
        output_dir,
        mode="offline",
        group=sweep.name,
        name=telling.of(record.keys) or record.cell,
        config={"cell": record.cell, "protocol": record.protocol, **record.keys, "composed": config},
        run_id=run_id(sweep.name, record.cell),
    )
    note = Note.of(run, output_dir, sent=False)
    log_record(run, record, sweep / record.cell, probe=None)
    note.save(sweep / record.cell)
    return note


def run_id(sweep: str, cell: str) -> str:
    """The id of a run made from a record: the same each time, and another in another sweep that holds the cell."""
    return f"{cell}-{sha256(sweep.encode()).hexdigest()[:8]}"


def _is_marked(folder: Path) -> bool:
    """Whether W&B has sent the run to its end: it leaves a file that says so."""
    return any(folder.glob("*.wandb.synced"))


def _wandb_sync(folders: Sequence[Path], destination: Destination) -> str:
    """Runs W&B's own command on run folders; what it said. It has no terminal, so that it can ask for nothing."""
    environment = {name: value for name, value in os.environ.items() if name not in IGNORED}
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "wandb", "sync", *destination.options, *map(str, folders)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ended.stdout


def _address(said: str) -> str | None:
    found = re.search(r"(https?://\S+)/runs/\S+", said)
    return found[1] if found else None


def _reason(said: str) -> str:
    """The line that says best why W&B did not send a run."""
    lines = [line.removeprefix("wandb: ").strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"error|fail|denied|not auth", line, re.IGNORECASE)]
    return (telling or lines or ["it said nothing"])[-1 if not telling else 0]
