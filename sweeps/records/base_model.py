"""The model that a finished cell was measured on."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from surgery.model.loading import load_model
from surgery.tokens.framing import set_framing
from sweeps.cell.settings import LOADING, framing, framing_keys

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def model_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """What `load_model` takes, of a cell's config."""
    # Records of earlier versions know no date and no GGUF file.
    return {name: config["model"][name] for name in LOADING if name in config["model"]}


def load_cell_model(config: Mapping[str, Any]) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """The unedited model and its tokenizer; raises InputError when it is not there any more."""
    arguments = model_arguments(config)
    model, tokenizer = load_model(arguments.pop("path"), **arguments)
    set_framing(tokenizer, framing(**framing_keys(config)))
    return model, tokenizer
