"""The file of an intervention that is no edit: tensors, a description, and the fingerprint they must give."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from surgery.errors import InputError
from surgery.files.tensor_file import read_tensors, save_tensors
from surgery.files.whole_files import written_whole


class _Fingerprinted(Protocol):
    @property
    def fingerprint(self) -> str: ...


T = TypeVar("T", bound=_Fingerprinted)


def write_intervention(
    path: str | Path,
    format: str,
    tensors: Mapping[str, torch.Tensor],
    description: Mapping[str, Any],
    fingerprint: str,
) -> None:
    """Writes a safetensors file, whole or not at all."""
    metadata = {"format": format, "intervention": json.dumps({**description, "fingerprint": fingerprint})}
    with written_whole(path) as temporary:
        save_tensors({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata)


def read_intervention(path: str | Path, format: str, make: Callable[[dict[str, torch.Tensor], dict[str, Any]], T]) -> T:
    """What `make` makes of the tensors and the description that `write_intervention` was given.

    Raises:
        InputError: when the file is missing, can't be read, holds something else, or was changed after it was saved.
    """
    tensors, metadata = read_tensors(path, f"'{path}'")
    if metadata.get("format") != format:
        raise InputError(f"'{path}' holds no {format}")
    try:
        description = json.loads(metadata["intervention"])
        saved = description.pop("fingerprint")
        made = make(tensors, description)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"'{path}' was changed after it was saved: it is damaged ({error})") from None
    if made.fingerprint != saved:
        raise InputError(f"'{path}' was changed after it was saved: {made.fingerprint} is not its fingerprint")
    return made
