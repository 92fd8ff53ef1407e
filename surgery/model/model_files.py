"""The folder of a model, and its shapes without its weights."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from surgery.errors import InputError, foreign_errors
from surgery.files.hub import snapshot
from surgery.files.local_paths import names_a_folder, require_folder
from surgery.files.safetensors_file import StoredTensor, weight_files
from surgery.files.saved_files import require_saved_model

WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json")
Files = Mapping[Path, tuple[StoredTensor, ...]]
# What wrappers put into the names of tensors, and whose they are.
WRAPPERS = {
    "_orig_mod": "torch.compile",
    "module": "DistributedDataParallel",
    "base_model": "PEFT",
    "_fsdp_wrapped_module": "FSDP",
    "_checkpoint_wrapped_module": "activation checkpointing",
    "_forward_module": "Lightning Fabric",
}
WRAPPED = re.compile(
    r"^module\.|^base_model\.model\.|(?:^|\.)_(?:orig_mod|fsdp_wrapped_module|checkpoint_wrapped_module|forward_module)\."
)
_LAYER = re.compile(r"\.\d+\.")


def model_folder(path: str, revision: str | None = None, weights: bool = True, key: str = "model.path") -> Path:
    """The folder a model lies in, fetched from the hub (or its cache) where `path` is a hub name.

    Args:
        path: folder or hub name.
        revision: branch, tag or commit on the hub.
        weights: fetch the weights too, not only configuration and tokenizer.
        key: what the path was given as.

    Raises:
        InputError: when there is no such folder, the hub and the cache don't have it, or it is damaged.
    """
    require_folder(path, key)
    folder = Path(path).expanduser() if names_a_folder(path) else _fetched(path, revision, weights, key)
    require_saved_model(folder, f"{key} '{path}'")
    return folder


def _fetched(path: str, revision: str | None, weights: bool, key: str) -> Path:
    patterns = ["*.json", "*.model", "*.txt", "*.jinja", *(WEIGHT_FILES if weights else ())]
    return snapshot("model", path, revision, patterns, key, f"say {key}=FOLDER for one that is here")


def skeleton(folder: Path, trust_remote_code: bool = False) -> PreTrainedModel:
    """The model's modules with shapes but no memory (device `meta`), from its config alone.

    Raises:
        InputError: when the config is not one of a causal language model.
    """
    with foreign_errors(f"'{folder}' can't be read as a causal language model"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
        model.tie_weights()
    return model


def sound_weights(folder: Path, told: str) -> Files:
    """What each file of a folder's weights holds.

    Raises:
        InputError: when they are missing or damaged, or named as the wrapper of a training run names them.
    """
    files = weight_files(folder)
    for tensors in files.values():
        for tensor in tensors:
            if match := WRAPPED.search(tensor.name):
                word = match[0].strip(".")
                raise InputError(
                    f"{told} was saved inside a wrapper of {WRAPPERS[word.split('.')[0]]}: its tensors are named as "
                    f"{tensor.name}; save the model that is inside it, which has no '{word}' in its names"
                )
    return files


def require_fit(model: PreTrainedModel, files: Files, told: str) -> None:
    """Holds the shapes in the files against those that the config asks for.

    Formats that are converted while loading have names and shapes of their own; of these only the embeddings, which
    never are, are looked at.

    Args:
        model: the skeleton.
        files: what each file of weights holds.
        told: what the folder was given as, for the sentence.

    Raises:
        InputError: when a tensor has another shape, or the weights have layers that the config does not count.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict(keep_vars=True).items()}
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    embeddings = {name for name, module in model.named_modules() if any(module is end for end in ends)}
    if get_checkpoint_conversion_mapping(model.config.model_type) or hasattr(model.config, "quantization_config"):
        expected = {name: shape for name, shape in expected.items() if name.rpartition(".")[0] in embeddings}
    ignored = [re.compile(pattern) for pattern in getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()]
    known = {_LAYER.sub(".N.", name) for name in expected}
    for tensor in (tensor for tensors in files.values() for tensor in tensors):
        shape = expected.get(tensor.name)
        if shape is not None and shape != tensor.shape:
            vocabulary = " (its vocabulary)" if tensor.name.rpartition(".")[0] in embeddings else ""
            raise InputError(
                f"{told}: {tensor.name} is {list(tensor.shape)} in the weights, but config.json makes it {list(shape)}"
                f"{vocabulary}; use the config.json that the weights were saved with"
            )
        beyond = shape is None and _LAYER.search(tensor.name) and _LAYER.sub(".N.", tensor.name) in known
        if beyond and not any(pattern.search(tensor.name) for pattern in ignored):
            raise InputError(
                f"{told}: the weights hold {tensor.name}, but config.json counts fewer layers; use the config.json "
                "that the weights were saved with"
            )
