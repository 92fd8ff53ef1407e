"""The model that a finished cell was measured on."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def model_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """What `load_model` takes, of a cell's config."""
    names = ("path", "revision", "gguf", "dtype", "device", "trust_remote_code")
    # Records of earlier versions know no `gguf`.
    return {name: config["model"].get(name) if name == "gguf" else config["model"][name] for name in names}


def load_cell_model(config: Mapping[str, Any]) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """The unedited model and its tokenizer; raises InputError when it is not there any more."""
    from surgery.models import load_model

    arguments = model_arguments(config)
    return load_model(arguments.pop("path"), **arguments)
