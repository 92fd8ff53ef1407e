"""The adapter of what is on the sliders, with a card that tells what it is."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from surgery.changes.receipt import Receipt
from surgery.edits.edit import Edit
from surgery.edits.intervention import Intervention
from surgery.errors import InputError
from sweeps.export.export import export_chain
from sweeps.play.presets import Preset
from sweeps.play.session import Session
from sweeps.records.record import Record

ADAPTERS = "adapters"


def edit_of(chain: Sequence[Intervention]) -> Edit:
    """The edit that the sliders give a chain; raises InputError for a chain without one."""
    if not chain or not isinstance(chain[-1], Edit):
        raise InputError("alpha 0 is the base without an edit; move alpha to write an adapter")
    return chain[-1]


def write_adapter(session: Session, preset: Preset, alpha: float, top_k: int, sweep_folder: Path) -> Path:
    """Writes `adapters/alpha…-top_k…-FINGERPRINT` below the sweep's folder; the same edit is the same folder.

    Args:
        session: with the model, which tells what the edit changes.
        preset: that the sliders started from.
        alpha, top_k: of the sliders.
        sweep_folder: of the sweep.

    Returns:
        The folder.

    Raises:
        InputError: where there is no such edit, no adapter can carry it, or the folder can't be written.
    """
    chain = session.chain(preset, alpha, top_k)
    edit = edit_of(chain)
    record = _record(preset, edit, session.receipt(chain))
    target = sweep_folder / ADAPTERS / f"alpha{alpha:g}-top_k{top_k}-{edit.fingerprint[:8]}"
    export_chain(record, preset.config, chain, "adapter", target, force=True)
    return target


def measuring_command(preset: Preset, alpha: float, top_k: int) -> str:
    """What measures the edit of two sliders as the preset's cell was; empty where the record has no command."""
    moved = ("alpha=", "top_k=")
    kept = [word for word in shlex.split(preset.record.command) if not word.startswith(moved)]
    return shlex.join([*kept, f"alpha={alpha}", f"top_k={top_k}"]) if kept else ""


def _record(preset: Preset, edit: Edit, receipt: Receipt) -> Record:
    """What the card tells: of the cell itself all of it, of another edit nothing that was measured."""
    record, top_k = preset.record, len(edit.region)
    if edit.fingerprint == preset.edit.fingerprint:
        return record
    told = {**record.edit, "region": edit.region.how, "fingerprint": edit.fingerprint, **asdict(receipt)}
    if "chain" in told:
        told["chain"] = [*told["chain"][:-1], edit.fingerprint]
    return replace(
        record,
        command=measuring_command(preset, edit.alpha, top_k),
        keys={**record.keys, "alpha": edit.alpha, "top_k": top_k},
        metrics={},
        edit=told,
    )
