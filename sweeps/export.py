"""A cell's edit as an adapter or a checkpoint, with a model card made from its record."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml
from safetensors import SafetensorError, safe_open

from surgery.errors import InputError
from surgery.files import written_whole
from sweeps.model_card import licence_of, model_card
from sweeps.records import CONFIG, EDIT, Record

if TYPE_CHECKING:
    from surgery.edit import Edit

KINDS = ("adapter", "checkpoint")
VERIFY_PROMPT = "The quick brown fox jumps over the lazy dog."


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
        kind: `adapter` (a PEFT LoRA of a few kilobytes) or `checkpoint` (the base's files with the edited rows).
        target: the folder to make.
        say: called with what a person should know.
        force: replace a folder that is there.
        verify: read the checkpoint again and compare it with base and edit.

    Raises:
        InputError: when the cell has no edit, the target is there, or the base can't be found or is another model.
    """
    from surgery.edit import Edit
    from surgery.model_files import model_folder

    if kind not in KINDS:
        raise InputError(f"--as {kind} is unknown; it is one of {', '.join(KINDS)}")
    if record.status != "done":
        raise InputError(f"cell {record.cell} can't be exported: it {record.status} ({record.error})")
    if verify and kind != "checkpoint":
        raise InputError("--verify is for checkpoints; an adapter holds nothing but the edit")
    config = cell_config(cell_folder)
    model = config["model"]
    edit = Edit.load(cell_folder / EDIT)
    base = model_folder(model["path"], model["revision"], weights=kind == "checkpoint")
    if kind == "adapter":
        edit.save_adapter(target, base=str(model["path"]), force=force)
    else:
        edit.save_checkpoint(base, target, force=force, verify=verify)
    with written_whole(target / "README.md") as temporary:
        temporary.write_text(model_card(record, config, kind, licence_of(base)), encoding="utf-8")
    if verify:
        say(compare_logits(edit, base, target))


def holds_export(record: Record, cell_folder: Path, kind: str, target: Path) -> bool:
    """Whether a folder holds exactly what `export_cell` would write there, but for the model card, which may be edited.

    Raises:
        InputError: when the base can't be found or is another model.
    """
    from surgery.checkpoint_check import verify_checkpoint
    from surgery.edit import Edit
    from surgery.model_files import model_folder

    if not target.is_dir():
        return False
    model = cell_config(cell_folder)["model"]
    edit = Edit.load(cell_folder / EDIT)
    if kind == "adapter":
        with TemporaryDirectory() as temporary:
            fresh = Path(temporary) / "adapter"
            edit.save_adapter(fresh, base=str(model["path"]))
            return _same_adapter(fresh, target)
    try:
        verify_checkpoint([edit], model_folder(model["path"], model["revision"]), target)
    except InputError:
        return False
    return True


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


def compare_logits(edit: "Edit", base: Path, checkpoint: Path) -> str:
    """Compares a checkpoint with its base under the edit on one prompt, where both fit in memory; says what came out.

    Raises:
        InputError: when their logits are not the same bit for bit.
    """
    import psutil
    import torch

    from surgery.models import load_model

    size = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    if 2.5 * size > psutil.virtual_memory().available:
        return f"logits were not compared: two models of {size / 1e9:.1f} GB do not fit in memory"
    logits = []
    for folder in (base, checkpoint):
        model, tokenizer = load_model(str(folder), device="cpu")
        inputs = tokenizer(VERIFY_PROMPT, return_tensors="pt")["input_ids"]
        with torch.no_grad(), edit.applied_to(model) if folder == base else nullcontext():
            logits.append(model(inputs).logits)
    if not torch.equal(*logits):
        raise InputError(f"'{checkpoint}' gives other logits than its base under the edit; do not use it")
    return "verified: files, tensors and logits are those of the base under the edit"
