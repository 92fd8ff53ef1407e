"""An edited checkpoint, written from the base's safetensors without building the model."""

import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from surgery.changes.factors import Factored
from surgery.changes.receipt import Receipt
from surgery.errors import InputError
from surgery.export.base_folder import FORMAT, MANIFEST, other_files, require_base
from surgery.export.checkpoint_check import verify_checkpoint
from surgery.export.tensor_edits import TensorEdits
from surgery.files.hashed_file import HASH, HashedFile, hash_of_file
from surgery.files.safetensors_file import StoredTensor, read_tensor, weight_files
from surgery.files.whole_folders import folder_written_whole

# Each holds a touched tensor in memory.
FILES_AT_A_TIME = 2


def save_checkpoint(
    edits: Sequence[Factored],
    base: str | Path,
    path: str | Path,
    *,
    force: bool = False,
    link: bool = False,
    verify: bool = False,
    trust_remote_code: bool = False,
) -> tuple[Receipt, ...]:
    """Writes the base's folder with the edits in it, bit for bit what `applied_to` makes of it in the base's dtype.

    Files without touched tensors share their blocks with the base's where the file system can, and are copied
    elsewhere. All are hashed while they are written; `surgery.json` lists the hashes, the base's fingerprint, the
    edits and their receipts. Two touched tensors and some 100 MB are held in memory at most. Weights in
    other formats, hidden files and links that lead nowhere are left out; other links become files.

    Args:
        edits: edits and changes of low rank, oldest first, all for one base; one may have been made in the base with
            those before it applied.
        base: folder of the base, with safetensors.
        path: the folder to make; it is written whole or not at all.
        force: replace a checkpoint that is there.
        link: make hard links of weight files without touched tensors; then a change to one is a change to both.
        verify: read all of it again and compare it with base and edits, before it gets its name.
        trust_remote_code: run Python that comes with the base, where its architecture needs that.

    Returns:
        What each edit did.

    Raises:
        InputError: for no edits; for a base that is another model, has no safetensors, lacks a touched tensor or
            has it in a dtype that can't be edited; for a row of an edit that would not change, or a change that does
            nothing; for a path that is there (without `force`), is no checkpoint, holds the base or lies in it; when
            the disk is full.
    """
    base, path = Path(base).expanduser(), Path(os.path.abspath(Path(path).expanduser()))
    files = weight_files(base)
    chain = TensorEdits(edits)
    fingerprint = require_base(edits, base, trust_remote_code)
    chain.require_editable(tensor for tensors in files.values() for tensor in tensors)
    here, there = base.resolve(), path.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise InputError(f"'{path}' and the base '{base}' can't lie in one another; give another folder")
    with folder_written_whole(path, "config.json", "checkpoint", force) as folder:
        try:
            with ThreadPoolExecutor(FILES_AT_A_TIME) as pool:
                written = pool.map(lambda file: _write_weights(file, files[file], folder, chain, link), files)
                hashes = dict(zip((file.name for file in files), written, strict=True))
            for file in other_files(base):
                name = file.relative_to(base)
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                hashes[name.as_posix()] = _copy(file, folder / name)
            manifest = {
                "format": FORMAT,
                "base_fingerprint": fingerprint,
                "edits": [
                    {
                        "fingerprint": edit.fingerprint,
                        "kind": type(edit).__name__,
                        **edit.described(),
                        "receipt": asdict(receipt),
                    }
                    for edit, receipt in zip(edits, chain.receipts, strict=True)
                ],
                "hash": HASH,
                "files": hashes,
            }
            (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            need = sum(file.stat().st_size for file in files) / 1e9
            free = shutil.disk_usage(folder).free / 1e9
            raise InputError(
                f"'{path}' can't be written ({error.strerror or error}): the base's weights are {need:.2f} GB and "
                f"{free:.2f} GB are free there; make room or give another folder"
            ) from None
        if verify:
            verify_checkpoint(edits, base, folder, trust_remote_code=trust_remote_code)
    return chain.receipts


def _copy(source: Path, target: Path) -> str:
    size = source.stat().st_size
    with open(source, "rb", buffering=0) as file, HashedFile(target) as new:
        if not new.clone(file, size):
            new.copy(file, 0, size)
        return new.hexdigest


def _write_weights(source: Path, tensors: Sequence[StoredTensor], folder: Path, chain: TensorEdits, link: bool) -> str:
    """Writes one weight file, from start to end, and gives its hash."""
    target = folder / source.name
    touched = [tensor for tensor in tensors if tensor.name in chain.touched]
    if not touched:
        if link:
            try:
                os.link(source.resolve(), target)
                return hash_of_file(target)
            except OSError:  # another file system, or one without hard links
                target.unlink(missing_ok=True)
        return _copy(source, target)
    size, position, buffer = source.stat().st_size, 0, bytearray(max(tensor.size for tensor in touched))
    with open(source, "rb", buffering=0) as file, HashedFile(target) as new:
        for tensor in touched:
            new.copy(file, position, tensor.start - position)
            data = read_tensor(source, tensor, buffer)
            chain.change(tensor, data)
            new.write(data)
            position = tensor.start + tensor.size
        new.copy(file, position, size - position)
        return new.hexdigest
