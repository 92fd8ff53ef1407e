"""Which rows of an attention's matrices are queries, keys, values and output."""

import torch
from torch import nn

# Attention that reads another stream than the decoder's own (images) with its keys and values.
CROSS_ATTENTION = frozenset({"MllamaTextCrossAttention"})
FUSED = frozenset({"Phi3Attention", "Phi4MultimodalAttention"})


def attention_slice(module: nn.Module, component: str) -> tuple[torch.Tensor, int, int] | None:
    """The part of a module that is q_proj, k_proj, v_proj or o_proj: (weight, first row or column, how many).

    None where the module has no such part, and where a matrix of that name holds more than its name says (queries and
    a gate by turns, as in Qwen3-Next): `num_key_value_groups` of the module tells how many query rows there must be.
    """
    kind = type(module).__name__
    if kind in CROSS_ATTENTION:
        return None
    fused = _matrix(module, "qkv_proj")
    if kind in FUSED and fused is not None and component != "o_proj":
        keys = len(fused) // (int(module.num_key_value_groups) + 2)  # type: ignore[arg-type]
        queries = len(fused) - 2 * keys
        start = {"q_proj": 0, "k_proj": queries, "v_proj": queries + keys}[component]
        return fused, start, queries if component == "q_proj" else keys
    weight = _matrix(module, component)
    if weight is None and component == "o_proj" and _matrix(module, "q_proj") is not None:
        weight = _matrix(module, "out_proj")
    if weight is None:
        return None
    groups, keys_of = getattr(module, "num_key_value_groups", None), _matrix(module, "k_proj")
    if (
        component == "q_proj"
        and isinstance(groups, int)
        and keys_of is not None
        and len(weight) != groups * len(keys_of)
    ):
        return None
    return weight, 0, weight.shape[int(component == "o_proj")]


def _matrix(module: nn.Module, name: str) -> torch.Tensor | None:
    weight = getattr(getattr(module, name, None), "weight", None)
    return weight if isinstance(weight, nn.Parameter) and weight.dim() == 2 else None
