"""Safetensors files as bytes: where each tensor lies, and which files of a folder hold a model's weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from surgery.errors import InputError
from surgery.files.saved_files import require_no_pointer

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# As much as the safetensors library takes.
LARGEST_HEADER = 100_000_000
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a file.

    Attributes:
        name, shape: as in the file's header.
        dtype: the header's word: `F32`, `BF16`, `F8_E4M3`, …
        start, size: where its bytes lie in the file.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    start: int
    size: int


def read_header(path: Path) -> tuple[StoredTensor, ...]:
    """The tensors of a safetensors file, in the order they lie in it; no weight is read.

    Raises:
        InputError: when the file is missing or is no safetensors file.
    """
    if not path.is_file():
        raise InputError(f"'{path}' is missing; download or save the model again")
    try:
        require_no_pointer(path, f"'{path.parent}'")
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(LARGEST_HEADER, path.stat().st_size - 8):
                raise ValueError("its header is cut off")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        tensors = []
        for name, entry in header.items():
            start, end = entry["data_offsets"]
            tensors.append(StoredTensor(name, tuple(entry["shape"]), entry["dtype"], 8 + length + start, end - start))
            if min(start, end - start, *tensors[-1].shape) < 0:
                raise ValueError(f"{name} has no place in it")
        tensors.sort(key=lambda tensor: tensor.start)
        if tensors and tensors[-1].start + tensors[-1].size > path.stat().st_size:
            raise ValueError("its data is cut off")
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"'{path}' can't be read ({error.strerror}); let this user read it") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = "its header is no JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else error
        raise InputError(f"'{path}' can't be read as safetensors ({reason}); fetch or save the model again") from None
    return tuple(tensors)


def weight_files(folder: Path) -> Mapping[Path, tuple[StoredTensor, ...]]:
    """The files transformers would load from a model's folder, with what each holds.

    One `model.safetensors` goes before an index, as it does there.

    Raises:
        InputError: when the folder has no weights as safetensors, or a file is missing, damaged or not as its index
            says.
    """
    if (folder / SINGLE).is_file():
        return {folder / SINGLE: read_header(folder / SINGLE)}
    if not (folder / INDEX).is_file():
        raise InputError(f"'{folder}' has neither {SINGLE} nor {INDEX}{_instead(folder)}")
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        homes = {str(tensor): str(file) for tensor, file in index["weight_map"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"'{folder / INDEX}' can't be read as an index of safetensors files ({error})") from None
    names = sorted(set(homes.values()))
    if outside := [name for name in names if Path(name).name != name]:
        raise InputError(f"'{folder / INDEX}' names '{outside[0]}', which is no file of its own folder")
    if absent := [name for name in names if not (folder / name).is_file()]:
        raise InputError(
            f"'{folder}' lacks {len(absent)} of the {len(names)} files that its {INDEX} names, {absent[0]} among them; "
            "download the model again"
        )
    files = {folder / name: read_header(folder / name) for name in names}
    held = {path.name: {tensor.name for tensor in tensors} for path, tensors in files.items()}
    if lost := [tensor for tensor, file in homes.items() if tensor not in held[file]]:
        raise InputError(
            f"'{folder / INDEX}' places {lost[0]} in {homes[lost[0]]}, which does not hold it; the files are of two "
            "models, download them again"
        )
    return files


def _instead(folder: Path) -> str:
    """What a folder has in place of the weights, and what to do about it."""
    names = sorted(file.name for file in folder.iterdir() if file.is_file())
    if pickles := [name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]:
        return (
            f", only pickles ({pickles[0]}), which may run code when they are loaded; save the model as safetensors "
            "first (from_pretrained, then save_pretrained)"
        )
    if others := [name for name in names if name.endswith((".safetensors", ".gguf", ".h5", ".msgpack"))]:
        return f", only {others[0]}; save the model as safetensors first (from_pretrained, then save_pretrained)"
    return ", so it holds no weights; save the model as safetensors first (save_pretrained does)"


def read_tensor(path: Path, tensor: StoredTensor, buffer: bytearray | None = None) -> memoryview:
    """A tensor's bytes, in memory that may be changed.

    Args:
        path: of its file.
        tensor: which one.
        buffer: memory to use, made longer where it is too short; new memory costs as much as the reading.
    """
    buffer = bytearray() if buffer is None else buffer
    if len(buffer) < tensor.size:
        buffer.extend(bytes(tensor.size - len(buffer)))
    data = memoryview(buffer)[: tensor.size]
    with open(path, "rb", buffering=0) as file:
        file.seek(tensor.start)
        read = 0
        while read < tensor.size:
            count = file.readinto(data[read:])
            if not count:
                raise OSError(f"'{path}' ended within {tensor.name}")
            read += count
    return data
