"""Quantised checkpoints: unpacked while loading where that gives back plain floats, refused otherwise."""

from typing import Any

from transformers import PretrainedConfig
from transformers.utils.quantization_config import FineGrainedFP8Config, Mxfp4Config

from surgery.errors import InputError

# Rows of these are plain numbers times a scale, so what is unpacked is exactly the model that was saved.
UNPACKED = {"mxfp4": Mxfp4Config, "fp8": FineGrainedFP8Config}


def quantisation(config: PretrainedConfig) -> str | None:
    """How a model's weights are quantised (`mxfp4`, `gptq`, ...); None for plain floats."""
    said = getattr(config, "quantization_config", None)
    if said is None:
        return None
    method = said.get("quant_method") if isinstance(said, dict) else said.quant_method
    return str(getattr(method, "value", method))


def unpacking(config: PretrainedConfig, path: str) -> dict[str, Any]:
    """What `from_pretrained` has to be told so that a model comes with plain weights; nothing where it has them.

    Raises:
        InputError: for a way of quantising whose weights can't be unpacked: rows packed as integers have no place for
            a sum, and an edit that is rounded back to them may be lost.
    """
    method = quantisation(config)
    if method is None:
        return {}
    if method not in UNPACKED:
        raise InputError(
            f"model.path '{path}' is quantised ({method}), so its rows can't be edited in place; give the unquantised "
            "model, or export the edit of that one as an adapter and load it on this one"
        )
    return {"quantization_config": UNPACKED[method](dequantize=True)}
