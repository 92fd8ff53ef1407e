"""A Llama's folder as one GGUF file, with edits in it."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gguf import GGMLQuantizationType, GGUFValueType, LlamaFileType
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig

from surgery.changes.factors import Factored
from surgery.errors import InputError
from surgery.export.base_folder import require_base
from surgery.export.tensor_edits import TensorEdits
from surgery.files.safetensors_file import DTYPES, StoredTensor, read_tensor, weight_files
from surgery.from_gguf.gguf_rope import FREQUENCIES, LLAMA3, llama3_divisors
from surgery.gguf.gguf_content import GgufContent, GgufField, GgufWeight, as_bytes, text_field
from surgery.gguf.gguf_export import origin_fields
from surgery.gguf.gguf_layout import GgufLayout
from surgery.gguf.gguf_vocabulary import vocabulary_fields
from surgery.model.fingerprints import tensor_bytes

FAMILIES = ("llama", "mistral")
_KINDS = {"F32": GGMLQuantizationType.F32, "F16": GGMLQuantizationType.F16, "BF16": GGMLQuantizationType.BF16}
_FILE_TYPES = {
    "F32": LlamaFileType.ALL_F32,
    "F16": LlamaFileType.MOSTLY_F16,
    "BF16": LlamaFileType.MOSTLY_BF16,
}


def llama_content(edits: Sequence[Factored], folder: Path) -> GgufContent:
    """A folder of the Llama family as GGUF: its matrices in the dtype they are saved in, the edits in them.

    The edited ones hold the very numbers of a checkpoint; rows of queries and keys are put into llama.cpp's order, and
    what is no matrix is written in float32, as llama.cpp wants it.

    Raises:
        InputError: for another family, a setting or tokenizer that this does not write, a base of another model, or a
            folder without safetensors.
    """
    config = AutoConfig.from_pretrained(folder)
    _require_plain(config, folder)
    layout = GgufLayout.of_config(config)
    if edits:
        require_base(edits, folder)
    chain, files = TensorEdits(edits), weight_files(folder)
    chain.require_editable(tensor for tensors in files.values() for tensor in tensors)
    weights, sizes = [], dict.fromkeys(_KINDS, 0)
    for file, tensors in files.items():
        for stored in tensors:
            if "rotary_emb" in stored.name or (config.tie_word_embeddings and stored.name == "lm_head.weight"):
                continue  # made anew from the settings, and the embedding once more
            if stored.dtype not in _KINDS or not stored.name.endswith(".weight"):
                raise InputError(f"'{folder}' holds {stored.name} ({stored.dtype}), which is not written as GGUF here")
            kind = _KINDS[stored.dtype] if len(stored.shape) > 1 else GGMLQuantizationType.F32
            sizes[stored.dtype] += stored.size
            make = partial(_bytes, file, stored, chain, layout.order(stored.name, stored.shape[0]))
            weights.append(GgufWeight(layout.tensor(stored.name), stored.shape, kind, make))
    if (divisors := _divisors(config)) is not None:
        make = partial(as_bytes, divisors)
        weights.append(GgufWeight(FREQUENCIES, divisors.shape, GGMLQuantizationType.F32, make))
    file_type = _FILE_TYPES[max(sizes, key=sizes.__getitem__)]
    fields = [
        text_field("general.type", "model"),
        text_field("general.name", folder.resolve().name),
        GgufField("general.file_type", int(file_type), GGUFValueType.UINT32),
        *_settings(config),
        *vocabulary_fields(AutoTokenizer.from_pretrained(folder), config.vocab_size),
        *(origin_fields(edits) if edits else []),
    ]
    return GgufContent(layout.architecture, fields, weights)


def _require_plain(config: PretrainedConfig, folder: Path) -> None:
    """Refuses what this does not write, rather than writing a file that means something else."""
    said: Mapping[str, Any] = config.to_dict()
    rope = said.get("rope_parameters") or {}
    refused = [
        (said["model_type"] not in FAMILIES, f"family '{said['model_type']}'"),
        (said.get("hidden_act") != "silu", f"hidden_act '{said.get('hidden_act')}'"),
        (bool(said.get("attention_bias") or said.get("mlp_bias")), "biases"),
        (said.get("sliding_window") is not None, "a sliding window"),
        (rope.get("rope_type", "default") not in ("default", "linear", "llama3"), f"rope '{rope.get('rope_type')}'"),
        (float(rope.get("partial_rotary_factor", 1)) != 1, "a partial rotary factor"),
    ]
    if reasons := [what for wrong, what in refused if wrong]:
        raise InputError(
            f"'{folder}' can't be written as a whole GGUF file here ({', '.join(reasons)}); that is done for "
            f"{' and '.join(FAMILIES)} without biases or sliding windows; take --as checkpoint and llama.cpp's "
            "convert_hf_to_gguf.py, or give a GGUF base"
        )


def _head_size(config: PretrainedConfig) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _settings(config: PretrainedConfig) -> list[GgufField]:
    rope = config.rope_parameters
    head_size = _head_size(config)
    whole = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": head_size,
        "attention.value_length": head_size,
        "rope.dimension_count": head_size,
        "vocab_size": config.vocab_size,
    }
    numbers = {
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": rope["rope_theta"],
        **({"rope.scaling.factor": rope["factor"]} if rope.get("rope_type") == "linear" else {}),
    }
    fields = [GgufField(f"llama.{name}", int(value), GGUFValueType.UINT32) for name, value in whole.items()]
    fields += [GgufField(f"llama.{name}", float(value), GGUFValueType.FLOAT32) for name, value in numbers.items()]
    if rope.get("rope_type") == "linear":
        fields.append(text_field("llama.rope.scaling.type", "linear"))
    return fields


def _divisors(config: PretrainedConfig) -> npt.NDArray[np.float32] | None:
    rope = config.rope_parameters
    if rope.get("rope_type") != "llama3":
        return None
    if any(rope.get(name) != value for name, value in LLAMA3.items() if name != "original_max_position_embeddings"):
        raise InputError("the model scales its positions as no Llama does, which is not written as GGUF here")
    head_size = _head_size(config)
    return llama3_divisors(rope["rope_theta"], head_size, rope["factor"], int(rope["original_max_position_embeddings"]))


def _bytes(file: Path, stored: StoredTensor, chain: TensorEdits, order: torch.Tensor | None) -> npt.NDArray[np.uint8]:
    """A tensor's bytes as they are to be written."""
    data = read_tensor(file, stored)
    if stored.name in chain.touched:
        chain.change(stored, data)
    weight = torch.frombuffer(data, dtype=DTYPES[stored.dtype]).view(stored.shape)
    if len(stored.shape) == 1:
        weight = weight.float()
    return np.frombuffer(tensor_bytes(weight if order is None else weight[order]), np.uint8)
