"""GGUF files, the format of llama.cpp: which are a whole language model, and what their headers tell.

The header is read here and not by the `gguf` package, whose reader takes seconds for a vocabulary and does not tell a
file that is cut from one that is not. Needs no torch, so that a wrong file is told of at once.
"""

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from surgery.errors import InputError
from surgery.files.saved_files import POINTER

MAGIC = b"GGUF"
VERSIONS = (2, 3)
_SPLIT_NAME = re.compile(r"-\d{5}-of-(\d{5})\.gguf", re.IGNORECASE)
# The format's numbers of its value types, as `struct` reads them.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
# Vocabularies are passed over; lists of this length and less are settings, one number a layer.
_LONGEST_LIST = 1024


@dataclass(frozen=True)
class GgufTensor:
    """One tensor of a file.

    Attributes:
        name, shape: the last axis is the one whose numbers lie side by side, as in torch.
        kind: `F32`, `BF16`, `Q4_K`, …
        start, size: where its bytes lie in the file.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    start: int
    size: int


@dataclass(frozen=True)
class GgufFile:
    """A whole language model in one GGUF file.

    Attributes:
        path: of the file.
        metadata: its values by key; of long lists (a vocabulary) only their length.
        tensors: in the order they lie in it.
        spans: {key: where its entry of the metadata begins and ends in the file}.
    """

    path: Path
    metadata: Mapping[str, Any]
    tensors: tuple[GgufTensor, ...]
    spans: Mapping[str, tuple[int, int]]

    @property
    def architecture(self) -> str:
        """llama.cpp's word for it: `llama`, `qwen2`, `gemma3`, …"""
        return str(self.metadata["general.architecture"])

    def setting(self, name: str) -> Any:
        """A value of the architecture's own, `block_count` say; None where the file has none."""
        return self.metadata.get(f"{self.architecture}.{name}")

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """{tensor: its kind}."""
        return {tensor.name: tensor.kind for tensor in self.tensors}

    @classmethod
    def read(cls, path: Path, told: str = "") -> "GgufFile":
        """Reads a header; raises InputError for what is no whole language model, or is cut or damaged.

        Args:
            path: of the file.
            told: how the file was given, for the sentence; its path by default.
        """
        told = told or f"'{path}'"
        try:
            size = path.stat().st_size
            with open(path, "rb") as file:
                start = file.read(len(POINTER))
                if start == POINTER:
                    raise InputError(f"{told} is a Git LFS pointer, not the model; fetch it with 'git lfs pull'")
                if start[:4] != MAGIC:
                    raise InputError(f"{told} is no GGUF file; give one, a folder with a config.json or a hub name")
                file.seek(len(MAGIC))
                metadata, tensors, spans = _read_header(file, size)
        except (struct.error, ValueError, OverflowError, MemoryError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{told} is cut or damaged ({error}); fetch it again") from None
        except OSError as error:
            raise InputError(f"{told} can't be read ({error.strerror})") from None
        found = cls(path, metadata, tensors, spans)
        found._require_whole_model(told)
        last = max(tensors, key=lambda tensor: tensor.start + tensor.size)
        if last.start + last.size > size:
            missing = last.start + last.size - size
            raise InputError(f"{told} is cut: {missing:,} bytes are missing at its end; fetch it again")
        return found

    def _require_whole_model(self, told: str) -> None:
        said, kind = self.metadata, str(self.metadata.get("general.type", "model"))
        split = _SPLIT_NAME.search(self.path.name)
        parts = int(said.get("split.count", 0)) or (int(split[1]) if split else 0)
        if parts > 1:
            raise InputError(
                f"{told} is one of {parts} parts of a model; join them first with "
                "'llama-gguf-split --merge FIRST_PART OUTPUT', or give a file in one piece"
            )
        if kind == "adapter":
            raise InputError(f"{told} is an adapter, not a model; give the GGUF file of its base")
        if kind == "mmproj" or said.get("general.architecture") == "clip":
            raise InputError(f"{told} holds the image or sound encoder (mmproj) of a model; give the language model's")
        if kind != "model":
            raise InputError(f"{told} says it is of type '{kind}'; give the GGUF file of a language model")
        if "general.architecture" not in said:
            raise InputError(f"{told} names no architecture, so it is no model; give another GGUF file")
        if not self.tensors:
            raise InputError(f"{told} holds no weights, only settings or a vocabulary; give a whole model")
        if "tokenizer.ggml.tokens" not in said:
            raise InputError(f"{told} holds no vocabulary, so texts can't be read with it; give a whole model")


def _read_header(
    file: BinaryIO, size: int
) -> tuple[dict[str, Any], tuple[GgufTensor, ...], dict[str, tuple[int, int]]]:
    version, tensor_count, field_count = _numbers(file, "<IQQ")
    if version not in VERSIONS:
        if int.from_bytes(version.to_bytes(4, "big"), "little") in VERSIONS:
            raise ValueError("its numbers are big-endian, which is read nowhere here")
        raise ValueError(f"it says it is of version {version}; {' and '.join(map(str, VERSIONS))} are read")
    metadata: dict[str, Any] = {}
    spans: dict[str, tuple[int, int]] = {}
    for _ in range(field_count):
        before = file.tell()
        key = _string(file, size)
        metadata[key] = _value(file, size, *_numbers(file, "<I"))
        spans[key] = before, file.tell()
    entries = []
    for _ in range(tensor_count):
        name = _string(file, size)
        [axes] = _numbers(file, "<I")
        if axes > 4:
            raise ValueError(f"a tensor of {axes} axes")
        shape = _numbers(file, f"<{axes}Q")[::-1]
        entries.append((name, shape, *_numbers(file, "<IQ")))
    alignment = int(metadata.get("general.alignment", 32))
    if alignment < 1:
        raise ValueError(f"an alignment of {alignment}")
    start = -(-file.tell() // alignment) * alignment
    tensors = tuple(_tensor(name, shape, kind, start + offset) for name, shape, kind, offset in entries)
    return metadata, tensors, spans


def _tensor(name: str, shape: tuple[int, ...], number: int, start: int) -> GgufTensor:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        kind = GGMLQuantizationType(number)
    except ValueError:
        raise ValueError(f"tensor {name} is of type {number}, which the installed package gguf does not know") from None
    block, size = GGML_QUANT_SIZES[kind]
    if (shape[-1] if shape else 1) % block:
        raise ValueError(f"tensor {name} of shape {list(shape)} can't be of type {kind.name}")
    return GgufTensor(name, shape, kind.name, start, math.prod(shape) // block * size)


def _numbers(file: BinaryIO, form: str) -> tuple[Any, ...]:
    found = file.read(struct.calcsize(form))
    if len(found) < struct.calcsize(form):
        raise ValueError("it ends within its header")
    return struct.unpack(form, found)


def _string(file: BinaryIO, size: int) -> str:
    [length] = _numbers(file, "<Q")
    if length > size - file.tell():
        raise ValueError("it ends within its header")
    return file.read(length).decode("utf-8")


def _value(file: BinaryIO, size: int, kind: int) -> Any:
    """A value of the metadata; of a long list, or one of words, the length alone."""
    if kind in _SCALARS:
        return _numbers(file, "<" + _SCALARS[kind])[0]
    if kind == _STRING:
        return _string(file, size)
    if kind != _ARRAY:
        raise ValueError(f"a value of type {kind}")
    inner, count = _numbers(file, "<IQ")
    if count > size - file.tell():
        raise ValueError("it ends within its header")
    if inner in _SCALARS:
        if count <= _LONGEST_LIST:
            return list(_numbers(file, f"<{count}{_SCALARS[inner]}"))
        file.seek(count * struct.calcsize("<" + _SCALARS[inner]), 1)
        return count
    for _ in range(count):
        if inner == _STRING:
            [length] = _numbers(file, "<Q")
            file.seek(length, 1)
        else:
            _value(file, size, inner)
    return count
