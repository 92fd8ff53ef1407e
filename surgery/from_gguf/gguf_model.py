"""A model, its shapes and its tokenizer from a GGUF file: read by transformers, its blocks unpacked to plain floats."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from surgery.errors import InputError
from surgery.files.gguf_file import GgufFile
from surgery.from_gguf.gguf_reader import NAME, UNREADABLE, alone, quick_reading, refused
from surgery.from_gguf.gguf_rope import FREQUENCIES, restore_rope
from surgery.from_gguf.gguf_tokenizer import gguf_tokenizer, require_tokenizer
from surgery.tokens.chat import DEFAULT_DATE

PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def own_dtype(file: GgufFile) -> torch.dtype:
    """What `auto` means: as most of the weights are kept; bfloat16 where they are kept in blocks.

    Unpacked blocks are no coarser in bfloat16 than they are: its rounding is below the step of the blocks.
    """
    sizes: dict[torch.dtype, int] = {}
    for tensor in file.tensors:
        if len(tensor.shape) > 1:
            dtype = PLAIN.get(tensor.kind, torch.bfloat16)
            sizes[dtype] = sizes.get(dtype, 0) + int(np.prod(tensor.shape))
    return max(sizes, key=sizes.__getitem__, default=torch.float32)


def gguf_skeleton(file: GgufFile, told: str) -> PreTrainedModel:
    """The model's modules with shapes but no memory; raises InputError where transformers can't read the file."""
    _require_unpackable(file, told)
    require_tokenizer(file, told)
    try:
        config = _config(file, told)
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
        _require_all_used(model, file, told)
    except UNREADABLE as error:
        raise refused(file, told, error) from None
    model.tie_weights()
    return model


def load_gguf(
    file: GgufFile, told: str, dtype: str, placement: Any, date: str = DEFAULT_DATE
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, list[str]]:
    """The model, its tokenizer, and the names of weights that the file lacks.

    Args:
        file: its header.
        told: how the file was given, for sentences.
        dtype: `auto` or torch's name of one.
        placement: a device or a device map, without a disk: transformers offloads no GGUF there.
        date: the day that the chat template is rendered on.

    Raises:
        InputError: when transformers can't read it.
    """
    from transformers import GgufConfig

    if "disk" in {str(place) for place in (placement.values() if isinstance(placement, dict) else [placement])}:
        raise InputError(f"{told} can't be offloaded to disk, since its blocks are unpacked; send it to cpu instead")
    _require_unpackable(file, told)
    tokenizer = gguf_tokenizer(file, told, date)
    try:
        config = _config(file, told)
        with alone(file.path) as folder, quick_reading():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                gguf_file=NAME,
                quantization_config=GgufConfig(dequantize=True),
                dtype=own_dtype(file) if dtype == "auto" else getattr(torch, dtype),
                device_map=placement,
                output_loading_info=True,
            )
        model: PreTrainedModel
        model, loading = loaded
        _require_all_used(model, file, told, sorted(loading["unexpected_keys"]))
    except UNREADABLE as error:
        raise refused(file, told, error) from None
    # The folder it was read from is gone; lm-eval and PEFT write these names down.
    model.config._name_or_path = tokenizer.name_or_path = str(file.path)
    return model, tokenizer, sorted(loading["missing_keys"])


def _config(file: GgufFile, told: str) -> PretrainedConfig:
    with alone(file.path) as folder, quick_reading():
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, gguf_file=NAME)
    if file.setting("vocab_size") is None:
        config.vocab_size = file.metadata["tokenizer.ggml.tokens"]
    restore_rope(config, file, told)
    return config


def _require_all_used(model: PreTrainedModel, file: GgufFile, told: str, left: Sequence[str] = ()) -> None:
    """Refuses a file with weights that no parameter takes, biases say, which transformers passes over in silence.

    Of the architectures that it reads in the newer way, it tells which were `left` once the model is loaded.
    """
    from transformers import modeling_gguf_pytorch_utils
    from transformers.integrations.gguf.gguf_config_mapping import GGUF_CONFIG_ARCHS

    legacy: Any = modeling_gguf_pytorch_utils
    if file.architecture not in GGUF_CONFIG_ARCHS:
        with quick_reading():
            processor = legacy.TENSOR_PROCESSORS.get(file.architecture, legacy.TensorProcessor)(model.config.to_dict())
            taken = legacy.get_gguf_hf_weights_map(model, processor).keys() | {FREQUENCIES}
        left = [name for name in file.kinds if not {name, name.removesuffix(".weight")} & taken]
    if left:
        raise InputError(
            f"{told} holds {len(left)} weights that transformers leaves out for architecture '{file.architecture}' "
            f"({left[0]} among them), so it would be another model; give the model's own folder or hub name"
        )


def _require_unpackable(file: GgufFile, told: str) -> None:
    """By unpacking one block of each kind: a library may know how large a block is, and not what is in it."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize

    for kind in sorted(set(file.kinds.values()) - PLAIN.keys()):
        number = GGMLQuantizationType[kind]
        try:
            dequantize(np.zeros(GGML_QUANT_SIZES[number][1], np.uint8), number)
        except (NotImplementedError, ValueError, KeyError):
            raise InputError(
                f"{told} keeps weights as {kind}, which can't be unpacked here; give a file of another quantisation"
            ) from None
