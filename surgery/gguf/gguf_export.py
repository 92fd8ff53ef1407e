"""Edits as GGUF: a LoRA for llama.cpp, or the base's file with the edited tensors in it."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType
from gguf.quants import dequantize, quantize

from surgery.changes.factors import Factored, Factors
from surgery.errors import InputError
from surgery.export.adapter import require_one_base, stacked_matrices
from surgery.files.gguf_file import GgufFile
from surgery.files.gguf_place import ADAPTER_FILE
from surgery.files.whole_folders import folder_written_whole
from surgery.gguf.gguf_content import (
    GgufContent,
    GgufField,
    GgufWeight,
    as_bytes,
    copied_fields,
    list_field,
    text_field,
)
from surgery.gguf.gguf_layout import GgufLayout
from surgery.model.gguf_identity import require_gguf_base

F32, Q8_0 = GGMLQuantizationType.F32, GGMLQuantizationType.Q8_0
# What a sum can be written back to as it is; what is kept in other blocks becomes Q8_0, the finest of them.
KEPT = (F32, GGMLQuantizationType.F16, GGMLQuantizationType.BF16, Q8_0)


def save_gguf(content: GgufContent, path: str | Path, name: str, *, force: bool = False, verify: bool = False) -> None:
    """Writes a folder with one GGUF file, whole or not at all.

    Args:
        content: of the file.
        path: the folder to make.
        name: `ADAPTER_FILE` or `MODEL_FILE`.
        force: replace such a folder that is there.
        verify: read the file again before it gets its name.

    Raises:
        InputError: for a path that is there (without `force`), holds something else or can't be written; where an edit
            would change nothing or make infinite numbers.
    """
    kind = "GGUF adapter" if name == ADAPTER_FILE else "GGUF model"
    with folder_written_whole(Path(os.path.abspath(Path(path).expanduser())), name, kind, force) as folder:
        content.write(folder / name)
        if verify:
            content.verify(folder / name)


def adapter_content(edits: Sequence[Factored], layout: GgufLayout, name: str) -> GgufContent:
    """A LoRA as llama.cpp reads it, in float32: of rank n, with an alpha of n, so that its scale is 1.

    Args:
        edits: oldest first, all for one base.
        layout: of the base.
        name: what the adapter calls itself.

    Raises:
        InputError: for no edits, edits of different bases, experts in one tensor, or a matrix that has no known place.
    """
    require_one_base(edits)
    rank = sum(edit.rank for edit in edits)
    matrices, _ = stacked_matrices(edits, rank)
    weights = []
    for module, (a, b) in matrices.items():
        tensor = layout.tensor(f"{module}.weight")
        order = layout.order(f"{module}.weight", len(b))
        for end, factor in (("lora_a", a), ("lora_b", b if order is None else b[order])):
            values = factor.contiguous().numpy()
            weights.append(GgufWeight(f"{tensor}.{end}", values.shape, F32, partial(as_bytes, values)))
    fields = [
        text_field("general.type", "adapter"),
        text_field("general.name", name),
        text_field("adapter.type", "lora"),
        GgufField("adapter.lora.alpha", float(rank), GGUFValueType.FLOAT32),
        *origin_fields(edits),
    ]
    return GgufContent(layout.architecture, fields, weights)


def origin_fields(edits: Sequence[Factored]) -> list[GgufField]:
    """What a file of ours says of where it is from."""
    return [
        text_field("surgery.base_fingerprint", edits[0].base_fingerprint),
        list_field("surgery.edits", [edit.fingerprint for edit in edits], GGUFValueType.STRING),
    ]


def model_content(edits: Sequence[Factored], base: GgufFile) -> GgufContent:
    """The base's file, its tensors byte for byte but for those that the edits touch.

    A touched tensor is unpacked, changed in float32 and written in its own kind where that is F32, F16, BF16 or Q8_0,
    else in Q8_0; `surgery.requantised` names what was written in another kind.

    Raises:
        InputError: for no edits, edits of another base, experts in one tensor, or a matrix that the file lacks.
    """
    require_one_base(edits)
    require_gguf_base(base, edits[0].base_fingerprint)
    changes = _changes(edits, GgufLayout.of_file(base))
    shapes = {tensor.name: tensor.shape for tensor in base.tensors}
    for name, parts in changes.items():
        if name not in shapes or any(part.shape != shapes[name] for part in parts):
            raise InputError(f"'{base.path}' has no {name} of shape {list(parts[0].shape)}, which the edit changes")
    reader = GGUFReader(base.path)
    weights, other = [], []
    for tensor in reader.tensors:
        shape, old = tuple(int(size) for size in reversed(tensor.shape)), tensor.tensor_type
        if tensor.name not in changes:
            weights.append(GgufWeight(tensor.name, shape, old, partial(as_bytes, tensor.data)))
            continue
        new = old if old in KEPT else Q8_0
        make = partial(_changed, tensor.name, tensor.data, old, new, changes[tensor.name])
        weights.append(GgufWeight(tensor.name, shape, new, make))
        if new != old:
            other.append(f"{tensor.name} {old.name} {new.name}")
    fields = [*copied_fields(reader), *origin_fields(edits)]
    if other:
        fields.append(list_field("surgery.requantised", other, GGUFValueType.STRING))
    return GgufContent(base.architecture, fields, weights)


def _changes(edits: Sequence[Factored], layout: GgufLayout) -> dict[str, list[Factors]]:
    """{tensor: its changes, oldest first, their rows in the tensor's order}."""
    changes: dict[str, list[Factors]] = {}
    for edit in edits:
        for one in edit.factors():
            order = layout.order(one.parameter, len(one.b))
            b = one.b if order is None else one.b[order]
            moved = Factors(one.parameter, one.layer, one.a, b, one.transposed)
            changes.setdefault(layout.tensor(one.parameter), []).append(moved)
    return changes


@torch.no_grad()
def _changed(
    name: str,
    data: npt.NDArray[np.generic],
    old: GGMLQuantizationType,
    new: GGMLQuantizationType,
    changes: Sequence[Factors],
) -> npt.NDArray[np.uint8]:
    """A touched tensor's new bytes."""
    base = np.ascontiguousarray(dequantize(data, old), np.float32)
    weight = torch.from_numpy(base.copy())
    for one in changes:
        one.add_to(weight)
    with np.errstate(over="ignore"):  # what is infinite then is told of below
        written = quantize(weight.numpy(), new)
    after, before = dequantize(written, new), dequantize(quantize(base, new), new)
    if not np.isfinite(after).all():
        raise InputError(f"the edit makes infinite numbers in {name} ({new.name}); take a smaller alpha")
    for one in changes:
        still, touched = _unchanged(one, after != before)
        if still:
            raise InputError(
                f"the edit leaves {still} of {touched} rows of {name} unchanged in {new.name}; take a larger alpha, or "
                "a base of finer quantisation"
            )
    return as_bytes(written)


def _unchanged(one: Factors, differs: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """How many of an edit's rows (columns, of what writes to the stream) came out as they were, and of how many.

    One side of an edit is a mask; of a LoRA neither is, and it has to change the tensor somewhere.
    """
    for mask, axis in ((one.b[:, 0], 1), (one.a[0], 0)):
        if one.rank == 1 and ((mask == 0) | (mask == 1)).all():
            touched = mask.bool().numpy()
            return int((touched & ~differs.any(axis=axis)).sum()), int(touched.sum())
    return (0, 1) if differs.any() else (len(differs), len(differs))
