"""Where a model's matrices lie in a GGUF file: their names there, and the order of their rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from gguf import MODEL_ARCH_NAMES, get_tensor_name_map
from transformers import PretrainedConfig

from surgery.changes.factors import Factored
from surgery.errors import InputError
from surgery.model.gguf_file import GgufFile

# llama.cpp's word for a family of transformers. In these the matrices of an MLP are kept as they are.
OF_FAMILY = {
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "llama": "llama",
    "mistral": "llama",
    "olmo2": "olmo2",
    "phi3": "phi3",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "smollm3": "smollm3",
}
# Their queries and keys are turned in pairs of neighbours there, in transformers in halves: rows change places.
_PAIRED = ("llama", "smollm3")
# Known for their MLPs alone.
_MLP_ONLY = ("lfm2", "qwen35", "stablelm")
_KNOWN = {*OF_FAMILY.values(), *_MLP_ONLY}


@dataclass(frozen=True)
class GgufLayout:
    """How one model's parameters are laid out in GGUF.

    Attributes:
        architecture: llama.cpp's word.
        blocks: how many layers.
        heads, key_heads: of attention, of queries and of keys.
    """

    architecture: str
    blocks: int
    heads: int
    key_heads: int

    @classmethod
    def of_file(cls, file: GgufFile) -> "GgufLayout":
        """Of a GGUF file; raises InputError for an architecture whose layout is not known here."""
        if file.architecture not in _KNOWN:
            raise _unknown(f"'{file.path}' is of architecture '{file.architecture}'")
        heads = file.setting("attention.head_count")
        return cls(file.architecture, _one(file.setting("block_count")), _one(heads), _one(_key_heads(file) or heads))

    @classmethod
    def of_config(cls, config: PretrainedConfig) -> "GgufLayout":
        """Of a model of transformers; raises InputError for a family whose layout is not known here."""
        architecture = OF_FAMILY.get(config.model_type)
        if architecture is None:
            raise _unknown(f"the model is of family '{config.model_type}'")
        heads = config.num_attention_heads
        key_heads = getattr(config, "num_key_value_heads", None) or heads
        return cls(architecture, config.num_hidden_layers, heads, key_heads)

    def tensor(self, parameter: str) -> str:
        """The tensor that holds a parameter's values; raises InputError where there is none."""
        number = next(key for key, value in MODEL_ARCH_NAMES.items() if value == self.architecture)
        name = get_tensor_name_map(number, self.blocks).get_name(parameter, try_suffixes=(".weight",))
        if name is None or (self.architecture in _MLP_ONLY and ".ffn_" not in name):
            raise InputError(
                f"{parameter} has no known place in a GGUF file of architecture '{self.architecture}'; export the edit "
                "with --as adapter or --as checkpoint"
            )
        return str(name)

    def order(self, parameter: str, rows: int) -> torch.Tensor | None:
        """Which row of the parameter [out, in] each of the tensor's is; None where they are the same."""
        heads = {"q_proj": self.heads, "k_proj": self.key_heads}.get(parameter.split(".")[-2])
        if heads is None or self.architecture not in _PAIRED:
            return None
        return torch.arange(rows).reshape(heads, 2, -1).transpose(1, 2).reshape(-1)


def require_factored(chain: Sequence[Any]) -> Sequence[Factored]:
    """The chain, all of it edits and LoRAs; raises InputError for others, which GGUF has no place for."""
    from surgery.edits.edit import Edit
    from surgery.edits.low_rank import LowRankChange

    if others := [type(one).__name__ for one in chain if not isinstance(one, Edit | LowRankChange)]:
        raise InputError(
            f"GGUF can't carry this cell ({' and '.join(dict.fromkeys(others))}); export it with --as checkpoint and "
            "convert that with llama.cpp's convert_hf_to_gguf.py"
        )
    return chain


def _key_heads(file: GgufFile) -> Any:
    return file.setting("attention.head_count_kv")


def _one(number: Any) -> int:
    """A setting that may be told layer by layer; where the layers differ nothing here depends on it."""
    return max(number) if isinstance(number, list) else int(number)


def _unknown(what: str) -> InputError:
    return InputError(
        f"{what}, whose layout in GGUF is not known here; known are {', '.join(sorted(_KNOWN))}; export the edit with "
        "--as adapter or --as checkpoint"
    )
