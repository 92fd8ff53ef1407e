"""What a model is, in 16 hexadecimal digits: the same in memory and in its folder.

Taken over the architecture, every parameter's name and shape, and a fixed strided sample of its values cast
to bfloat16, so that neither the model's name nor the dtype it was loaded in matters, and 70B take no longer
than the reading of a few hundred small slices.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from safetensors import safe_open
from torch import nn
from transformers import PreTrainedModel

from surgery.files import sha256_of_parts
from surgery.model_files import skeleton
from surgery.offload import Weights

SAMPLES_PER_TENSOR = 64

# The edits now applied to a model, oldest first, below the fingerprint it had without them.
_chains: WeakKeyDictionary[nn.Module, list[str]] = WeakKeyDictionary()
# Models whose values were rounded while loading: what they are in memory, and what their folder is.
_sources: WeakKeyDictionary[nn.Module, tuple[str, str]] = WeakKeyDictionary()


def tensor_bytes(tensor: torch.Tensor) -> bytes:
    """The raw little-endian bytes of a tensor."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _sample(tensor: torch.Tensor) -> bytes:
    stride = max(1, tensor.numel() // SAMPLES_PER_TENSOR)
    values = tensor.detach().reshape(-1)[::stride][:SAMPLES_PER_TENSOR]
    return tensor_bytes(values.to(torch.bfloat16))


def _of_tensors(architecture: str, tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    parts: list[str | bytes] = [architecture]
    for name, tensor in tensors:
        parts += [name, str(tuple(tensor.shape)), _sample(tensor)]
    return sha256_of_parts(parts)


def _in_memory(model: PreTrainedModel) -> str:
    weights = Weights(model)
    return _of_tensors(type(model).__name__, ((name, weights[name]) for name in sorted(weights)))


def base_fingerprint(model: PreTrainedModel) -> str:
    """The fingerprint of a model in memory without the edits that are now applied to it."""
    if model in _chains:
        return _chains[model][0]
    found = _in_memory(model)
    rounded, source = _sources.get(model, (None, found))
    return source if rounded == found else found


def chain_fingerprint(base: str, edits: Sequence[str]) -> str:
    """The fingerprint of a base with edits applied, oldest first, from theirs."""
    return sha256_of_parts([base, *edits]) if edits else base


def fingerprint(model: PreTrainedModel) -> str:
    """The fingerprint of a model in memory; with edits applied, that of the base and the chain of edits."""
    base, *edits = _chains.get(model) or [base_fingerprint(model)]
    return chain_fingerprint(base, edits)


def note_source(model: PreTrainedModel, folder: Path, trust_remote_code: bool = False) -> None:
    """Lets a model loaded in float16 keep its folder's fingerprint.

    Rounding to float16 and then to bfloat16 is not the same as rounding once; for the other dtypes it is.
    """
    if model.dtype == torch.float16:
        source = folder_fingerprint(folder, trust_remote_code)
        if source is not None:
            note_fingerprint(model, source)


def note_fingerprint(model: PreTrainedModel, source: str) -> None:
    """Says what the file is that a model was just loaded from; as long as its values stay, so is the model."""
    _sources[model] = (_in_memory(model), source)


def push_edit(model: PreTrainedModel, edit: str) -> None:
    """Notes that an edit is about to be applied on top of what the model is."""
    if model not in _chains:
        _chains[model] = [base_fingerprint(model)]
    _chains[model].append(edit)


def pop_edit(model: PreTrainedModel, edit: str) -> None:
    """Notes that the last edit is about to be taken back.

    Raises:
        RuntimeError: when another edit was applied last; restoring rows in that order would mix the two.
    """
    if model not in _chains or _chains[model][-1] != edit:
        raise RuntimeError("edits must be taken back in the reverse of the order they were applied in")
    _chains[model].pop()
    if len(_chains[model]) == 1:
        del _chains[model]


def folder_fingerprint(
    folder: Path, trust_remote_code: bool = False, model: PreTrainedModel | None = None
) -> str | None:
    """The fingerprint of a saved model, without loading it; `model` is its skeleton where the caller has one.

    Returns None where the folder's tensors are not the parameters by name (formats that are converted while
    loading): load the model and take `fingerprint`.
    """
    model = skeleton(folder, trust_remote_code) if model is None else model
    expected = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    homes: dict[str, Path] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            # Where a shape differs too, the tensor is converted while loading.
            for name in opened.keys():  # noqa: SIM118
                if expected.get(name) == tuple(opened.get_slice(name).get_shape()):
                    homes[name] = file
    if not expected.keys() <= homes.keys():
        return None

    def tensors() -> Iterable[tuple[str, torch.Tensor]]:
        for name in sorted(expected):
            with safe_open(homes[name], "pt") as opened:
                yield name, opened.get_tensor(name)

    return _of_tensors(type(model).__name__, tensors())
