"""The base of an edited checkpoint: is it the edits' model, and what goes along beside its weights?"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from surgery.changes.factors import Factored
from surgery.errors import InputError
from surgery.files.safetensors_file import INDEX, SINGLE
from surgery.model.fingerprints import model_identity
from surgery.model.model_files import skeleton
from surgery.model.model_identity import misplaced
from surgery.model.weight_digests import stored_homes

FORMAT = "surgery.checkpoint/1"
CARD = "README.md"
MANIFEST = "surgery.json"
# The same weights without the edit, or pickles that run code when they are loaded.
OTHER_WEIGHTS = (
    *(".safetensors", ".bin", ".bin.index.json", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".gguf", ".ggml"),
    *(".msgpack", ".msgpack.index.json", ".h5", ".h5.index.json", ".onnx", ".onnx_data", ".ot", ".npz", ".tflite"),
)


def require_base(edits: Sequence[Factored], base: Path, trust_remote_code: bool = False) -> str:
    """The base's fingerprint; raises InputError unless every edit was made for it, or for it with those before."""
    if not edits:
        raise InputError("a checkpoint is written with at least one edit, and none was given")
    shapes = skeleton(base, trust_remote_code)
    if stored_homes(base, shapes) is None:
        raise InputError(
            f"the tensors in '{base}' are not the model's parameters by name, so they can't be edited in the file; "
            "apply the edit to the loaded model and save that"
        )
    found = model_identity(base, trust_remote_code, shapes).fingerprint
    if wrong := misplaced(found, edits):
        raise InputError(
            f"the edit was made for model {edits[wrong[0]].base_fingerprint}, but '{base}' is {found}; give the folder "
            "of the model it was made for"
        )
    return found


def other_files(base: Path) -> Iterator[Path]:
    """What a checkpoint keeps beside the weights: config, index, tokenizer, licence and the like.

    Not the base's README.md: a model card tells of one model, and this is another.
    """
    for parent, folders, names in os.walk(base):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in (Path(parent) / name for name in sorted(names)):
            left_out = file.name.startswith(".") or file.name.lower().endswith(OTHER_WEIGHTS)
            # An index that transformers would not read, and the manifest of a base that is itself a checkpoint.
            stale = (file == base / INDEX and (base / SINGLE).is_file()) or file == base / MANIFEST
            if not left_out and not stale and file != base / CARD and file.is_file():
                yield file
