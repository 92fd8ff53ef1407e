"""The model that a finished cell was measured on."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def model_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """What `load_model` takes, of a cell's config."""
    model = config["model"]
    # Records of earlier versions know no date and no GGUF file.
    later = {key: model[key] for key in ("date", "gguf") if key in model}
    return {key: model[key] for key in ("path", "revision", "dtype", "device", "trust_remote_code")} | later


def load_cell_model(config: Mapping[str, Any]) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """The unedited model and its tokenizer; raises InputError when it is not there any more."""
    from surgery.model.loading import load_model

    arguments = model_arguments(config)
    return load_model(arguments.pop("path"), **arguments)
