"""What a GGUF file is to hold, written by the `gguf` package and read again by it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import quant_shape_to_byte_shape

from surgery.errors import InputError

ALIGNMENT = "general.alignment"
ARCHITECTURE = "general.architecture"
# What every file of ours says of itself besides.
ORIGIN = "surgery."


@dataclass(frozen=True)
class GgufField:
    """One value of the metadata; `inner` is the type of a list's entries."""

    key: str
    value: Any
    type: GGUFValueType
    inner: GGUFValueType | None = None


@dataclass(frozen=True)
class GgufWeight:
    """A tensor that is to be written.

    Attributes:
        name, shape: the last axis is the one whose numbers lie side by side.
        kind: of its numbers.
        data: makes its bytes; called when it is written and again when it is held against the file, so that no more
            than one tensor is in memory.
    """

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    data: Callable[[], npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class GgufContent:
    """All that a file is to hold, in order."""

    architecture: str
    fields: Sequence[GgufField]
    weights: Sequence[GgufWeight]

    def write(self, path: Path) -> None:
        """Writes a new file; raises InputError when there is no room for it."""
        writer = GGUFWriter(path, self.architecture)
        for field in self.fields:
            if field.key == ALIGNMENT:
                writer.data_alignment = field.value
            writer.add_key_value(field.key, field.value, field.type, field.inner)
        sizes = {}
        for weight in self.weights:
            shape = quant_shape_to_byte_shape(weight.shape, weight.kind)
            sizes[weight.name] = int(np.prod(shape))
            writer.add_tensor_info(weight.name, shape, np.dtype(np.uint8), sizes[weight.name], weight.kind)
        try:
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for weight in self.weights:
                data = weight.data()
                if data.nbytes != sizes[weight.name]:
                    raise RuntimeError(f"{weight.name} came out with {data.nbytes} bytes, not {sizes[weight.name]}")
                writer.write_tensor_data(data)
            writer.close()
        except OSError as error:
            raise InputError(
                f"'{path.name}' can't be written ({error.strerror or error}): it needs {sum(sizes.values()) / 1e9:.2f} "
                "GB; make room or give another folder"
            ) from None

    def verify(self, path: Path) -> None:
        """Reads a file again; raises InputError, naming what is not as it was to be written."""
        try:
            reader = GGUFReader(path)
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise InputError(f"'{path}' can't be read as GGUF again ({error}); write it again") from None
        stored = {one.name: one for one in reader.fields.values() if not one.name.startswith("GGUF.")}
        wanted = {field.key for field in self.fields} | {ARCHITECTURE}
        for field in self.fields:
            found = stored.get(field.key)
            if found is None or found.types[0] != field.type or not _same(found.contents(), field.value):
                raise _changed(path, field.key)
        if others := sorted(stored.keys() - wanted):
            raise _changed(path, others[0])
        if stored[ARCHITECTURE].contents() != self.architecture:
            raise _changed(path, ARCHITECTURE)
        if [one.name for one in reader.tensors] != [weight.name for weight in self.weights]:
            raise _changed(path, "the list of tensors")
        for tensor, weight in zip(reader.tensors, self.weights, strict=True):
            shape = tuple(int(size) for size in reversed(tensor.shape))
            written = as_bytes(tensor.data)
            same = (shape, tensor.tensor_type) == (weight.shape, weight.kind)
            if not same or not np.array_equal(written, weight.data().reshape(-1)):
                raise _changed(path, weight.name)


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float):
        return bool(np.float32(found) == np.float32(wanted))
    return bool(found == wanted)


def _changed(path: Path, what: str) -> InputError:
    return InputError(f"'{path}' is not what was to be written: {what} is another; write it again")


def copied_fields(reader: GGUFReader) -> list[GgufField]:
    """A file's metadata, but for what the writer writes by itself, and what an export of ours said of itself."""
    fields = []
    for one in reader.fields.values():
        if one.name == ARCHITECTURE or one.name.startswith(("GGUF.", ORIGIN)):
            continue
        value, inner = one.contents(), one.types[-1] if one.types[0] == GGUFValueType.ARRAY else None
        # The writer takes no empty list, which says nothing anyway.
        if inner is None or len(value):
            fields.append(GgufField(one.name, value, one.types[0], inner))
    return fields


def as_bytes(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """An array's bytes in the order of its numbers, [bytes]."""
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)


def text_field(key: str, value: str) -> GgufField:
    """A value that is a text."""
    return GgufField(key, value, GGUFValueType.STRING)


def list_field(key: str, values: Sequence[Any], inner: GGUFValueType) -> GgufField:
    """A value that is a list."""
    return GgufField(key, list(values), GGUFValueType.ARRAY, inner)
