"""The folder of a model, and its shapes without its weights."""

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from surgery.errors import InputError
from surgery.hub import snapshot
from surgery.local_paths import names_a_folder, require_folder

WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json")


def model_folder(path: str, revision: str | None = None, weights: bool = True) -> Path:
    """The folder a model lies in, fetched from the hub (or its cache) where `path` is a hub name.

    Args:
        path: folder or hub name.
        revision: branch, tag or commit on the hub.
        weights: fetch the weights too, not only configuration and tokenizer.

    Raises:
        InputError: when there is no such folder, or the hub and the cache don't have it.
    """
    require_folder(path)
    if names_a_folder(path):
        return Path(path).expanduser()
    patterns = ["*.json", "*.model", "*.txt", "*.jinja", *(WEIGHT_FILES if weights else ())]
    return snapshot("model", path, revision, patterns, "model.path", "give the path of a folder")


def skeleton(folder: Path, trust_remote_code: bool = False) -> PreTrainedModel:
    """The model's modules with shapes but no memory (device `meta`), from its config alone.

    Raises:
        InputError: when the config is not one of a causal language model.
    """
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except (ValueError, OSError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"'{folder}' can't be read as a causal language model: {reason}") from None
    model.tie_weights()
    return model
