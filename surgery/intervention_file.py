"""The file of an intervention that is no edit: tensors, a description, and the fingerprint they must give."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from surgery.errors import InputError
from surgery.files import written_whole


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
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata)


def read_intervention(path: str | Path, format: str) -> tuple[dict[str, torch.Tensor], dict[str, Any], str]:
    """(tensors, description, fingerprint) as `write_intervention` was given them.

    Raises:
        InputError: when the file is missing, can't be read, or holds something else.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"'{path}' can't be read as safetensors: {error}") from None
    if metadata.get("format") != format:
        raise InputError(f"'{path}' holds no {format}")
    description = json.loads(metadata["intervention"])
    return tensors, description, description.pop("fingerprint")


def require_unchanged(path: str | Path, found: str, saved: str) -> None:
    """Raises InputError when what was read is not what was saved."""
    if found != saved:
        raise InputError(f"'{path}' was changed after it was saved: {found} is not its fingerprint")
