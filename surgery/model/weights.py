"""The weights of a model's folder as a model in memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import finalize

from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from surgery.errors import InputError, foreign_errors
from surgery.files.temporary_folder import TemporaryFolder
from surgery.model.model_files import sound_weights
from surgery.model.output_head import give_contiguous_input
from surgery.model.quantisation import unpacking

# The maps that accelerate makes itself, from what memory there is.
MAPS_BY_MEMORY = ("balanced", "balanced_low_0", "sequential")


def load_weights(
    folder: Path, path: str, dtype: str, placement: str | dict[str, Any], trust_remote_code: bool
) -> PreTrainedModel:
    """The model in a folder; the arguments are those of `load_model`, `path` is what a person called it."""
    offloaded = TemporaryFolder("offloaded") if _may_offload(placement) else None
    with foreign_errors(f"model.path '{path}' can't be loaded"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
        unpacked = unpacking(config, path)
        sound_weights(folder, f"model.path '{path}'")
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            device_map=placement,
            offload_folder=offloaded and str(offloaded.path),
            **unpacked,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    model: PreTrainedModel
    model, loading = loaded
    if offloaded is not None:
        _keep_with(model, offloaded)
    make_ready(model, f"model.path '{path}'", sorted(loading["missing_keys"]))
    return model


def make_ready(model: PreTrainedModel, given: str, missing: Sequence[str]) -> None:
    """Refuses a model without some of its weights, which transformers would fill with random numbers and go on."""
    if missing:
        raise InputError(f"{given} lacks {len(missing)} of its weights, {missing[0]} among them")
    model.eval().requires_grad_(False)
    give_contiguous_input(model)


def _may_offload(placement: str | dict[str, Any]) -> bool:
    """Whether accelerate may send weights to the disk."""
    if isinstance(placement, dict):
        return "disk" in placement.values()
    return placement in MAPS_BY_MEMORY


def _keep_with(model: PreTrainedModel, folder: TemporaryFolder) -> None:
    """Keeps the folder as long as the model lives, or not at all where nothing lies in it."""
    if any(folder.path.iterdir()):
        finalize(model, folder.close)
    else:
        folder.close()
