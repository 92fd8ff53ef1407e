"""Safetensors files read and written, without torch until a tensor is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safetensors import SafetensorError, safe_open

from surgery.errors import InputError
from surgery.files.whole_files import let_be_read, usual_mode

if TYPE_CHECKING:
    import torch


@contextmanager
def opened_tensors(path: str | Path, told: str, framework: Literal["pt", "np"] = "pt") -> Iterator[Any]:
    """What `safetensors.safe_open` gives for the body of a `with`.

    Args:
        path: of the file.
        told: what it is, as the beginning of a sentence.
        framework: whose tensors it gives; names and metadata need neither.

    Raises:
        InputError: when it is missing or can't be read, also in the middle.
    """
    try:
        with safe_open(path, framework) as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise InputError(f"{told} can't be read as safetensors: {error}") from None


def read_tensors(path: str | Path, told: str) -> "tuple[dict[str, torch.Tensor], dict[str, str]]":
    """All tensors of a file, by name, and its metadata; see `opened_tensors`."""
    with opened_tensors(path, told) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def save_tensors(tensors: "dict[str, torch.Tensor]", path: Path, metadata: dict[str, str] | None = None) -> None:
    """Writes a file that whoever may read other files made here may read, too: the library's own is the owner's alone.

    Args:
        tensors: contiguous, by name.
        path: written anew; whole or not at all is up to the caller.
        metadata: texts for the header.
    """
    from safetensors.torch import save_file  # with torch

    mode = usual_mode(path)
    save_file(tensors, path, metadata)
    let_be_read(path, mode)
