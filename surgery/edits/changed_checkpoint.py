"""A checkpoint of a model with weight changes of any kind in it, or a chain of them."""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from shutil import copy2

from safetensors import safe_open

from surgery.edits.biased_gates import GateBias
from surgery.edits.contrast import ContrastiveDecoding
from surgery.edits.intervention import Intervention, shown_alike
from surgery.edits.steering import BlockSteering
from surgery.errors import InputError
from surgery.export.base_folder import FORMAT, MANIFEST, other_files
from surgery.files.hashed_file import HASH, hash_of_file
from surgery.files.tensor_file import save_tensors
from surgery.files.whole_folders import folder_written_whole
from surgery.model.loading import load_model

_WHILE_IT_RUNS = {
    BlockSteering: "steers hidden states",
    GateBias: "adds a bias to gates",
    ContrastiveDecoding: "decodes against another model",
}


def require_weights(interventions: Sequence[Intervention], what: str) -> None:
    """Raises InputError when one of them is done while the model runs, or to what it is shown."""
    if not shown_alike(interventions):
        raise InputError(
            f"this cell gives the model a system prompt and changes no weight, so there is no {what} of it; give it "
            "the prompt yourself, which is method.system in the cell's config.yaml"
        )
    for one in interventions:
        if does := next((told for kind, told in _WHILE_IT_RUNS.items() if isinstance(one, kind)), None):
            raise InputError(
                f"this cell {does} while the model runs and changes no weight, so there is no {what} of it; "
                "load its edit.safetensors with surgery.edits.intervention.load_intervention"
            )


def save_changed_checkpoint(
    interventions: Sequence[Intervention], base: str | Path, path: str | Path, *, force: bool = False
) -> None:
    """Writes the base's folder with the interventions in its weights, in the base's own dtype.

    The model is built in main memory for it; `surgery.export.checkpoint.save_checkpoint` does without, for edits and
    LoRAs.

    Args:
        interventions: oldest first.
        base: the base's safetensors folder.
        path: the folder to make; it is written whole or not at all.
        force: replace a checkpoint that is there.

    Raises:
        InputError: for what is done while the model runs; for a base of another model or format, or a path that can't
            be written.
    """
    require_weights(interventions, "checkpoint")
    base, path = Path(os.path.abspath(base)), Path(os.path.abspath(path))
    here, there = base.resolve(), path.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise InputError(f"'{path}' and the base '{base}' can't lie in one another; give another folder")
    model, _ = load_model(str(base), device="cpu")
    with ExitStack() as stack:
        receipts = [stack.enter_context(one.applied_to(model)) for one in interventions]
        parameters = {name: parameter.data for name, parameter in model.named_parameters()}
        with folder_written_whole(path, "config.json", "checkpoint", force) as folder:
            for file in sorted(base.glob("*.safetensors")):
                with safe_open(file, "pt") as opened:
                    metadata = opened.metadata()
                    tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
                # What is no parameter, such as a buffer, stays.
                tensors = {
                    name: parameters[name].to(old.dtype).contiguous() if name in parameters else old
                    for name, old in tensors.items()
                }
                save_tensors(tensors, folder / file.name, metadata)
            for file in other_files(base):
                target = folder / file.relative_to(base)
                target.parent.mkdir(parents=True, exist_ok=True)
                copy2(file, target)
            written = sorted(file for file in folder.rglob("*") if file.is_file())
            manifest = {
                "format": FORMAT,
                "base_fingerprint": interventions[0].base_fingerprint,
                "edits": [
                    {"fingerprint": one.fingerprint, "kind": type(one).__name__, "receipt": asdict(receipt)}
                    for one, receipt in zip(interventions, receipts, strict=True)
                ],
                "hash": HASH,
                "files": {file.relative_to(folder).as_posix(): hash_of_file(file) for file in written},
            }
            (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
