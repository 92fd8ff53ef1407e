"""Every value of a model's weights in one digest: the same from memory and from safetensors files, however sharded."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
import xxhash
from torch import nn

from surgery.files.hashed_file import hash_of_part
from surgery.files.safetensors_file import DTYPES, INDEX, SINGLE, StoredTensor, weight_files
from surgery.files.whole_files import sha256_of_parts
from surgery.model.offload import Weights

WORDS = {dtype: word for word, dtype in DTYPES.items()} | {
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# Of a checksum; three times as many bytes as eight a word are held at a time.
WORDS_AT_ONCE = 1 << 22
_factors: dict[torch.device, torch.Tensor] = {}
# The XXH3 of tensors of other devices, by their checksums.
_copied: dict[tuple[str, tuple[int, ...], str], str] = {}
# A tensor's dtype, shape and the XXH3 of its bytes.
TensorDigest = tuple[str, tuple[int, ...], str]


def combined(digests: Iterable[tuple[str, TensorDigest]]) -> str:
    """16 hexadecimal digits of named tensors, in whatever order they come."""
    parts: list[str] = []
    for name, (dtype, shape, digest) in sorted(digests):
        parts += [name, dtype, str(shape), digest]
    return sha256_of_parts(parts)


def _tensors_of(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and those buffers that are saved with them, by name; tied ones once, offloaded ones as they are read.

    A buffer can decide a number as well as a weight: a mixture of experts keeps the bias of its router in one.
    """
    weights = Weights(model)
    yield from ((name, weights[name]) for name in weights)
    yield from _saved_buffers(model)


def _saved_buffers(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """The buffers of a model that are saved with its weights, by name."""
    for prefix, module in model.named_modules():
        for name, buffer in module.named_buffers(recurse=False):
            if name not in module._non_persistent_buffers_set:
                yield f"{prefix}.{name}" if prefix else name, buffer


def digest_in_memory(model: nn.Module) -> str:
    """Of a model as it is now, on whatever devices; read piece by piece."""
    return combined((name, _of_tensor(tensor)) for name, tensor in _tensors_of(model))


def _of_tensor(tensor: torch.Tensor) -> TensorDigest:
    word, shape = _word(tensor.dtype), tuple(tensor.shape)
    if tensor.device.type == "cpu":
        return word, shape, _xxh3(tensor)
    # Copying 13.5 GB from a GPU takes eleven seconds, reading them there a twentieth of one.
    key = word, shape, checksum(tensor)
    if key not in _copied:
        _copied[key] = _xxh3(tensor)
    return word, shape, _copied[key]


def _xxh3(tensor: torch.Tensor) -> str:
    state = xxhash.xxh3_128()
    flat = tensor.detach().contiguous().reshape(-1)
    # From another device a piece at a time is copied, so that a model never lies in memory twice.
    step = max(1, flat.numel() if flat.device.type == "cpu" else (64 << 20) // flat.element_size())
    for start in range(0, flat.numel(), step):
        state.update(flat[start : start + step].cpu().view(torch.uint8).numpy().data)
    return state.hexdigest()


def checksum(tensor: torch.Tensor) -> str:
    """Of every bit of a tensor, computed where it lies: tells a tensor that was seen before from any other.

    Of each piece the sum of its words times odd random numbers, modulo 2^64 (multilinear hashing: Carter and Wegman,
    1979): one changed word always changes it, whatever else changes does with a probability of about 1 - 2^-63.

    Args:
        tensor: of any shape and dtype.

    Returns:
        32 hexadecimal digits; they say nothing beyond this process.
    """
    flat = tensor.detach().contiguous().reshape(-1)
    words = flat.view(_INTEGERS[flat.itemsize])
    if flat.device not in _factors:
        numbers = torch.randint(-(2**63), 2**63 - 1, (WORDS_AT_ONCE,), generator=torch.Generator().manual_seed(0))
        _factors[flat.device] = (numbers | 1).to(flat.device)
    factors = _factors[flat.device]
    sums = [(piece.long() * factors[: len(piece)]).sum() for piece in words.split(WORDS_AT_ONCE)]
    together = torch.stack(sums).cpu() if sums else torch.zeros(0, dtype=torch.long)
    return xxhash.xxh3_128(together.numpy().tobytes()).hexdigest()


def stored_homes(folder: Path, model: nn.Module) -> Mapping[str, tuple[Path, StoredTensor]] | None:
    """Where each of a model's tensors lies in its folder.

    Args:
        folder: with safetensors files.
        model: its skeleton (device `meta` will do).

    Returns:
        None where what is loaded is not what lies there by name and shape: formats that are converted while loading,
        pickles, and tied weights that are stored twice, of which transformers takes both when they differ.

    Raises:
        InputError: for a damaged file.
    """
    if not ((folder / SINGLE).is_file() or (folder / INDEX).is_file()):
        return None
    lies = {tensor.name: (path, tensor) for path, tensors in weight_files(folder).items() for tensor in tensors}
    expected = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    expected |= {name: tuple(buffer.shape) for name, buffer in _saved_buffers(model)}
    if any(name not in lies or lies[name][1].shape != shape for name, shape in expected.items()):
        return None
    if any(name in lies for name in model.state_dict() if name not in expected):
        return None
    return {name: lies[name] for name in expected}


def digest_of_stored(homes: Mapping[str, tuple[Path, StoredTensor]]) -> str:
    """Of tensors in files, each file read once from start to end."""
    return combined(_of_files(homes))


def _of_files(homes: Mapping[str, tuple[Path, StoredTensor]]) -> Iterator[tuple[str, TensorDigest]]:
    by_file: dict[Path, list[StoredTensor]] = {}
    for path, tensor in homes.values():
        by_file.setdefault(path, []).append(tensor)
    for path, tensors in sorted(by_file.items()):
        with open(path, "rb", buffering=0) as file:
            for tensor in sorted(tensors, key=lambda one: one.start):
                yield tensor.name, (tensor.dtype, tensor.shape, hash_of_part(file, tensor.start, tensor.size))


def same_dtypes(model: nn.Module, homes: Mapping[str, tuple[Path, StoredTensor]]) -> bool:
    """Whether a loaded model holds its tensors in the very format they are stored in."""
    return all(name in homes and homes[name][1].dtype == _word(tensor.dtype) for name, tensor in _tensors_of(model))


def _word(dtype: torch.dtype) -> str:
    """A dtype as the header of a safetensors file has it; torch's own word for the rare ones."""
    return WORDS.get(dtype, str(dtype))
