"""A cell's edit as an adapter, a checkpoint or a GGUF file, with a model card made from its record."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from surgery.edits.intervention import Intervention
from surgery.errors import InputError
from surgery.export.adapter import CONFIG_FILE, WEIGHTS_FILE
from surgery.files.temporary_folder import TemporaryFolder
from surgery.files.whole_files import written_whole
from surgery.gguf.gguf_export import save_gguf
from surgery.model.model_files import model_folder
from sweeps.export.chain_export import compare_logits, holds_checkpoint, require_export, save_chain
from sweeps.export.chain_gguf import GGUF_KINDS, MODELFILE, base_file, file_name, gguf_content, modelfile
from sweeps.export.model_card import licence_of, model_card
from sweeps.records.chain import read_chain
from sweeps.records.record import Record
from sweeps.records.recorded_generation import how_asked
from sweeps.records.sweep import require_config

if TYPE_CHECKING:
    from surgery.files.gguf_file import GgufFile

KINDS = ("adapter", "checkpoint", *GGUF_KINDS)


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
        kind: `adapter` (a PEFT LoRA, of a few kilobytes for an edit), `checkpoint` (the base's files, changed), `gguf`
            (a LoRA for llama.cpp) or `gguf-model` (a whole model for it).
        target: the folder to make.
        say: called with what a person should know.
        force: replace a folder that is there.
        verify: read what was written again and compare it with base and edit.

    Raises:
        InputError: when the cell has no edit, the target is there, or the base can't be found or is another model.
    """
    if kind not in KINDS:
        raise InputError(f"--as {kind} is unknown; it is one of {', '.join(KINDS)}")
    if record.status != "done":
        raise InputError(f"cell {record.cell} can't be exported: it {record.status} ({record.error})")
    record.require_this_identity()
    if verify and kind == "adapter":
        raise InputError("--verify is for checkpoints and GGUF files; an adapter holds nothing but the edit")
    config, chain = require_config(cell_folder), read_chain(cell_folder)
    base = export_chain(record, config, chain, kind, target, force=force, verify=verify)
    if verify and kind in GGUF_KINDS:
        say("verified: every value and tensor of the file is what base and edit make it")
    elif verify:
        say(compare_logits(chain, base, target))


def export_chain(
    record: Record,
    config: Mapping[str, Any],
    chain: Sequence[Intervention],
    kind: str,
    target: Path,
    *,
    force: bool = False,
    verify: bool = False,
) -> "GgufFile | Path":
    """Writes a chain of interventions, and the card that a record gives it, into a new folder; see `export_cell`.

    Args:
        record: what the card tells.
        config: of the cell.
        chain: oldest first.

    Returns:
        The file or folder of the base.
    """
    model = config["model"]
    require_export(chain, kind)
    base = _base(model, kind)
    if kind in GGUF_KINDS:
        save_gguf(gguf_content(chain, kind, model, base), target, file_name(kind), force=force, verify=verify)
        (target / MODELFILE).write_text(modelfile(kind, model), encoding="utf-8")
    else:
        save_chain(chain, kind, str(model["path"]), base, target, notes=how_asked(config), force=force, verify=verify)
    with written_whole(target / "README.md") as temporary:
        temporary.write_text(model_card(record, config, kind, licence_of(base)), encoding="utf-8")
    return base


def _base(model: Mapping[str, Any], kind: str) -> "GgufFile | Path":
    """The file or folder a cell's model was read from, with its weights where the export needs them."""
    file = base_file(model)
    if file is None:
        return model_folder(model["path"], model["revision"], weights=kind in ("checkpoint", "gguf-model"))
    if kind == "checkpoint":
        raise InputError(
            f"the cell's model is the GGUF file '{file.path}', which has no safetensors to write a checkpoint from; "
            "export with --as gguf-model, --as gguf or --as adapter"
        )
    return file


def holds_export(record: Record, cell_folder: Path, kind: str, target: Path) -> bool:
    """Whether a folder holds exactly what `export_cell` would write there, but for the model card, which may be edited.

    Raises:
        InputError: when the base can't be found or is another model.
    """
    if not target.is_dir():
        return False
    config = require_config(cell_folder)
    model = config["model"]
    chain = read_chain(cell_folder)
    base = _base(model, kind)
    if kind == "checkpoint":
        return holds_checkpoint(chain, base, target)
    if kind in GGUF_KINDS:
        try:
            gguf_content(chain, kind, model, base).verify(target / file_name(kind))
        except InputError:
            return False
        return (target / MODELFILE).is_file()
    with TemporaryFolder("adapter") as temporary:
        fresh = temporary / "adapter"
        save_chain(chain, kind, str(model["path"]), base, fresh, notes=how_asked(config))
        return _same_adapter(fresh, target)


def _same_adapter(one: Path, other: Path) -> bool:
    """By content: two words of a safetensors header may come in either order."""
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
