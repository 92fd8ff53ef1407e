"""Reading an edited checkpoint again: is it the base with the edits, and nothing else?"""

import json
from collections.abc import Sequence
from pathlib import Path

from surgery.changes.factors import Factored
from surgery.errors import InputError
from surgery.export.base_folder import FORMAT, MANIFEST, other_files, require_base
from surgery.export.tensor_edits import TensorEdits
from surgery.files.hashed_file import HASH, hash_of_file
from surgery.files.safetensors_file import StoredTensor, read_tensor, weight_files

PIECE = 8 << 20


def verify_checkpoint(
    edits: Sequence[Factored], base: str | Path, path: str | Path, *, trust_remote_code: bool = False
) -> None:
    """Compares a checkpoint with its base, the edits and its own list of hashes.

    Untouched tensors must be the base's bytes, touched ones what the edits make of the base's now, the rest of the
    weight files and all other files the base's. Files the list does not name are not its concern.

    Raises:
        InputError: names the first file or tensor that is not as it should be.
    """
    base, path = Path(base).expanduser(), Path(path).expanduser()
    fingerprint = require_base(edits, base, trust_remote_code)
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        hashes: dict[str, str] = dict(manifest["files"])
        claimed = [edit["fingerprint"] for edit in manifest["edits"]]
        described = (manifest["format"], manifest["hash"], manifest["base_fingerprint"], claimed)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"'{path / MANIFEST}' can't be read as a checkpoint's list of files ({error})") from None
    if described != (FORMAT, HASH, fingerprint, [edit.fingerprint for edit in edits]):
        raise InputError(f"'{path / MANIFEST}' belongs to another base or other edits; write the checkpoint again")
    base_weights = weight_files(base)
    others = [file.relative_to(base).as_posix() for file in other_files(base)]
    if set(hashes) != {*(file.name for file in base_weights), *others}:
        raise InputError(f"'{path / MANIFEST}' does not list the base's files; write the checkpoint again")
    chain = TensorEdits(edits)
    for file, tensors in base_weights.items():
        _require_tensors(file, path / file.name, tensors, chain)
    for name, expected in hashes.items():
        if not (path / name).is_file() or hash_of_file(path / name) != expected:
            raise _changed(path / name)
        if name in others and hash_of_file(base / name) != expected:
            raise _changed(path / name)


def _changed(file: Path, what: str = "it") -> InputError:
    return InputError(f"'{file}' is not what was written: {what} was changed; write the checkpoint again")


def _require_tensors(base: Path, file: Path, tensors: Sequence[StoredTensor], chain: TensorEdits) -> None:
    if not file.is_file() or file.stat().st_size != base.stat().st_size:
        raise _changed(file)
    position = 0
    for tensor in tensors:
        if tensor.name in chain.touched:
            _require_equal(base, file, position, tensor.start, "what lies before " + tensor.name)
            data = read_tensor(base, tensor)
            chain.change(tensor, data)
            if read_tensor(file, tensor) != data:
                raise _changed(file, tensor.name)
        else:
            _require_equal(base, file, position, tensor.start + tensor.size, tensor.name)
        position = tensor.start + tensor.size
    _require_equal(base, file, position, base.stat().st_size, "its end")


def _require_equal(one: Path, other: Path, start: int, end: int, what: str) -> None:
    """Raises unless two files hold the same bytes from `start` to `end`."""
    with open(one, "rb") as left, open(other, "rb") as right:
        left.seek(start)
        right.seek(start)
        for position in range(start, end, PIECE):
            size = min(PIECE, end - position)
            if left.read(size) != right.read(size):
                raise _changed(other, what)
