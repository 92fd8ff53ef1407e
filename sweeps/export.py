"""A cell's edit as an adapter or a checkpoint, with a model card made from its record."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError, safe_open

from surgery.errors import InputError
from surgery.files import written_whole
from surgery.temporary_folder import TemporaryFolder
from sweeps.chain_files import compare_logits, holds_checkpoint, read_chain, require_export, save_chain
from sweeps.model_card import licence_of, model_card
from sweeps.recorded_generation import how_asked
from sweeps.records import CONFIG, Record

KINDS = ("adapter", "checkpoint")


def cell_config(cell_folder: Path) -> Mapping[str, Any]:
    """The config a cell was composed from."""
    with open(cell_folder / CONFIG, encoding="utf-8") as file:
        config: Mapping[str, Any] = yaml.safe_load(file)
    return config


def export_cell(
    record: Record,
    cell_folder: Path,
    kind: str,
    target: Path,
    say: Callable[[str], None],
    *,
    force: bool = False,
    verify: bool = False,
) -> None:
    """Writes the edit of a finished cell into a new folder.

    Args:
        record, cell_folder: of the cell.
        kind: `adapter` (a PEFT LoRA, of a few kilobytes for an edit) or `checkpoint` (the base's files, changed).
        target: the folder to make.
        say: called with what a person should know.
        force: replace a folder that is there.
        verify: read the checkpoint again and compare it with base and edit.

    Raises:
        InputError: when the cell has no edit, the target is there, or the base can't be found or is another model.
    """
    from surgery.model_files import model_folder

    if kind not in KINDS:
        raise InputError(f"--as {kind} is unknown; it is one of {', '.join(KINDS)}")
    if record.status != "done":
        raise InputError(f"cell {record.cell} can't be exported: it {record.status} ({record.error})")
    record.require_this_identity()
    if verify and kind != "checkpoint":
        raise InputError("--verify is for checkpoints; an adapter holds nothing but the edit")
    config = cell_config(cell_folder)
    model = config["model"]
    chain = read_chain(cell_folder)
    require_export(chain, kind)
    base = model_folder(model["path"], model["revision"], weights=kind == "checkpoint")
    notes = how_asked(config)
    save_chain(chain, kind, str(model["path"]), base, target, notes=notes, force=force, verify=verify)
    with written_whole(target / "README.md") as temporary:
        temporary.write_text(model_card(record, config, kind, licence_of(base)), encoding="utf-8")
    if verify:
        say(compare_logits(chain, base, target))


def holds_export(record: Record, cell_folder: Path, kind: str, target: Path) -> bool:
    """Whether a folder holds exactly what `export_cell` would write there, but for the model card, which may be edited.

    Raises:
        InputError: when the base can't be found or is another model.
    """
    from surgery.model_files import model_folder

    if not target.is_dir():
        return False
    config = cell_config(cell_folder)
    model = config["model"]
    chain = read_chain(cell_folder)
    base = model_folder(model["path"], model["revision"], weights=kind == "checkpoint")
    if kind == "checkpoint":
        return holds_checkpoint(chain, base, target)
    with TemporaryFolder("adapter") as temporary:
        fresh = temporary / "adapter"
        save_chain(chain, kind, str(model["path"]), base, fresh, notes=how_asked(config))
        return _same_adapter(fresh, target)


def _same_adapter(one: Path, other: Path) -> bool:
    """By content: two words of a safetensors header may come in either order."""
    from surgery.adapter import CONFIG_FILE, WEIGHTS_FILE

    try:
        if (one / CONFIG_FILE).read_text(encoding="utf-8") != (other / CONFIG_FILE).read_text(encoding="utf-8"):
            return False
        with safe_open(one / WEIGHTS_FILE, "pt") as ours, safe_open(other / WEIGHTS_FILE, "pt") as theirs:
            return (
                ours.metadata() == theirs.metadata()
                and set(ours.keys()) == set(theirs.keys())
                and all(ours.get_tensor(name).equal(theirs.get_tensor(name)) for name in ours.keys())  # noqa: SIM118
            )
    except (OSError, SafetensorError):
        return False
