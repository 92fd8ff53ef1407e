"""What a model is, in 16 hexadecimal digits: the same in memory and in its folder.

Taken over every value of every tensor, and over the config that the model's code reads. Neither the folder's name nor
the way it is sharded, nor where or in which dtype it is loaded, is part of it.
"""

from pathlib import Path
from weakref import WeakKeyDictionary

import torch
import transformers
from torch import nn
from transformers import PreTrainedModel

from surgery.errors import InputError
from surgery.files.safetensors_file import INDEX
from surgery.model.digest_cache import Keep, keep_by_files, keep_in_process
from surgery.model.model_files import skeleton
from surgery.model.model_identity import (
    ModelIdentity,
    chain_fingerprint,
    code_digest,
    config_digest,
    generation_digest,
    model_fingerprint,
    template_digest,
    tokenizer_digest,
)
from surgery.model.weight_digests import digest_in_memory, digest_of_stored, same_dtypes, stored_homes
from surgery.model.weights import load_weights

# Raised when the same model would have another fingerprint than before.
VERSION = 2

# The edits now applied to a model, oldest first, below the fingerprint it had without them.
_chains: WeakKeyDictionary[nn.Module, list[str]] = WeakKeyDictionary()
# Models whose values were converted while loading: the digest of what they are in memory, and of their folder.
_sources: WeakKeyDictionary[nn.Module, tuple[str, str]] = WeakKeyDictionary()
# Code that came with a model.
_codes: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def tensor_bytes(tensor: torch.Tensor) -> bytes:
    """The raw little-endian bytes of a tensor."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def base_fingerprint(model: PreTrainedModel) -> str:
    """The fingerprint of a model in memory without the edits that are now applied to it."""
    if model in _chains:
        return _chains[model][0]
    found = digest_in_memory(model)
    converted, source = _sources.get(model, (None, found))
    config = config_digest(type(model).__name__, model.config.to_dict())
    return model_fingerprint(source if converted == found else found, config, _codes.get(model, ""))


def fingerprint(model: PreTrainedModel) -> str:
    """The fingerprint of a model in memory; with edits applied, that of the base and the chain of edits."""
    base, *edits = _chains.get(model) or [base_fingerprint(model)]
    return chain_fingerprint(base, edits)


def require_base(model: PreTrainedModel, made_for: str, what: str = "this") -> str:
    """The fingerprint of a model without the edits on it.

    Raises:
        InputError: unless the model is the one that `what` was made for, or that one with edits applied.
    """
    base, *edits = _chains.get(model) or [base_fingerprint(model)]
    now = chain_fingerprint(base, edits)
    if made_for not in (now, base):
        raise InputError(f"{what} was made for model {made_for}, but this model is {now}")
    return base


def note_source(
    model: PreTrainedModel,
    folder: Path,
    *,
    as_saved: bool,
    trust_remote_code: bool = False,
    keep: Keep = keep_in_process,
) -> None:
    """Lets a model that was converted while loading, to another dtype say, keep its folder's fingerprint.

    Args:
        model: as it was loaded.
        folder: it was loaded from.
        as_saved: whether it was loaded in the dtype that its config names; what a format is then converted to is
            what the folder's fingerprint is of, too.
        trust_remote_code: whether Python that comes with the model ran.
        keep: where the digest of the weights is kept.
    """
    if trust_remote_code and (code := code_digest(folder)):
        _codes[model] = code
    shapes = skeleton(folder, trust_remote_code)
    homes = stored_homes(folder, shapes)
    if not as_saved if homes is None else not same_dtypes(model, homes):
        note_weights(model, weights_digest(folder, trust_remote_code, shapes, keep))


def note_weights(model: PreTrainedModel, digest: str) -> None:
    """Says what the weights are that a model was just made of; as long as its values stay, so is what it is."""
    _sources[model] = (digest_in_memory(model), digest)


def push_edit(model: PreTrainedModel, edit: str, base: str) -> None:
    """Notes that an edit is about to be applied on top of what the model is.

    Args:
        model: as it is before.
        edit: the fingerprint of the edit.
        base: that of the model without edits, which takes a reading of all weights to find.
    """
    _chains.setdefault(model, [base]).append(edit)


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


def model_identity(
    folder: Path,
    trust_remote_code: bool = False,
    model: PreTrainedModel | None = None,
    keep: Keep = keep_in_process,
) -> ModelIdentity:
    """All that a saved model is.

    Args:
        folder: of the model.
        trust_remote_code: run Python that comes with the model.
        model: its skeleton, where the caller has one.
        keep: where the digest of the weights is kept.

    Raises:
        InputError: when the folder can't be read as a model.
    """
    shapes = skeleton(folder, trust_remote_code) if model is None else model
    return ModelIdentity(
        weights=weights_digest(folder, trust_remote_code, shapes, keep),
        config=config_digest(type(shapes).__name__, shapes.config.to_dict()),
        tokenizer=tokenizer_digest(folder),
        chat_template=template_digest(folder),
        generation=generation_digest(folder),
        code=code_digest(folder) if trust_remote_code else "",
    )


def weights_digest(folder: Path, trust_remote_code: bool, shapes: PreTrainedModel, keep: Keep = keep_in_process) -> str:
    """Of every value that the model computes with, read from its files in one stream.

    Where these are converted while loading, the model is loaded on the CPU, in the dtype it is saved in, and its
    values there are taken.
    """
    files = [*sorted(folder.glob("*.safetensors")), folder / INDEX, folder / "config.json"]
    files += sorted(folder.glob("*.py")) if trust_remote_code else []
    # What is converted while loading, and how, is the library's own affair.
    identity = [VERSION, transformers.__version__, trust_remote_code]

    def read() -> str:
        homes = stored_homes(folder, shapes)
        if homes is not None:
            return digest_of_stored(homes)
        return digest_in_memory(load_weights(folder, str(folder), "auto", "cpu", trust_remote_code))

    return keep_by_files([file for file in files if file.is_file()], identity, read, keep)


def folder_fingerprint(folder: Path, trust_remote_code: bool = False, keep: Keep = keep_in_process) -> str:
    """The fingerprint of a saved model.

    Raises:
        InputError: when the folder can't be read as a model.
    """
    return model_identity(folder, trust_remote_code, keep=keep).fingerprint
