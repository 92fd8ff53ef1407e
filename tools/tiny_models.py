"""A small random model of any gated family of transformers, built from its config class, to try the families on.

The sizes are as unlike as they can be (d 32, d_ff 24, experts' 20), so that no two axes are taken for one another.
"""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

WIDTH, LAYERS = 32, 2
SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": WIDTH,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "moe_intermediate_size": 20,
    "shared_expert_intermediate_size": 28,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_k": 2,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "q_lora_rank": 12,
    "kv_lora_rank": 12,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "qk_head_dim": 12,
    "pad_token_id": 1,
    "bos_token_id": None,
    "eos_token_id": None,
}
# Queries and keys that are compressed have no heads of their own.
_LATENT = {"num_key_value_heads": 4, "head_dim": 4}
_MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_expand": 2, "mamba_n_groups": 1}
_LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
_TOKENS = {"bos_token_id": 0, "eos_token_id": 1}
_VISION = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 2}
_IMAGE = _VISION | {"image_size": 28, "patch_size": 14}
_EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 20,
    "shared_expert_intermediate_size": 28,
}
_TEXT = {
    name: SIZES[name]
    for name in (
        *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
        *("num_key_value_heads", "max_position_embeddings", "pad_token_id"),
    )
}
_GEMMA4 = {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 64, "global_head_dim": 8}
# What a family's config asks for beyond these.
OPTIONS: dict[str, dict[str, Any]] = {
    "axk1": _LATENT,
    "axk2": _LATENT | {"num_key_value_heads": 4},
    "bailing_hybrid": {"first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2},
    "bamba": _MAMBA | {"attn_layer_indices": [1]},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 1e4} for kind in ("sliding_attention", "full_attention")
        },
    },
    "cwm": _TOKENS,
    "dbrx": {
        "d_model": WIDTH,
        "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4},
        "ffn_config": {"hidden_size": WIDTH, "ffn_hidden_size": 20, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT | {"first_k_dense_replace": 1},
    "deepseek_v32": _LATENT | {"mlp_layer_types": ["dense", "sparse"]},
    "dots3_note_text": _LATENT,
    "emu3": {"text_config": _TEXT},
    "falcon_h1": _MAMBA | {"mamba_d_ssm": 64},
    "gemma3": {"text_config": _TEXT | {"head_dim": 8}, "vision_config": _IMAGE},
    "gemma3n_text": {
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": 64,
        "num_kv_shared_layers": 0,
        "layer_types": ["sliding_attention", "full_attention"],
        "activation_sparsity_pattern": [0.0, 0.0],
        "laurel_rank": 4,
    },
    "gemma4": {"text_config": _TEXT | _GEMMA4 | {"head_dim": 8}},
    "gemma4_text": _GEMMA4,
    "gemma4_unified": {"text_config": _TEXT | {"head_dim": 8}},
    "glm4_moe_lite": _LATENT,
    "glm_moe_dsa": _LATENT | {"mlp_layer_types": ["dense", "sparse"]},
    "got_ocr2": {
        "text_config": _TEXT | {"model_type": "qwen2"},
        "vision_config": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 20},
    },
    "granitemoehybrid": _MAMBA | {"shared_intermediate_size": 28, "layer_types": ["mamba", "attention"]},
    "granitemoeshared": {"shared_intermediate_size": 28},
    "inkling_text": {"d_rel": 8},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8, "use_mamba_kernels": False},
    "kimi_linear": _LATENT
    | {"num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "linear_head_dim": 8, "linear_num_heads": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "lfm3": {"layer_types": ["conv", "full_attention"]},
    "llama4": {
        "text_config": _TEXT | {"head_dim": 8, "num_local_experts": 4, "intermediate_size_mlp": 24},
        "vision_config": _IMAGE | {"vision_output_dim": 16, "projector_input_dim": 16, "projector_output_dim": 16},
    },
    "longcat_flash": _LATENT | {"num_layers": 2, "ffn_hidden_size": 24, "expert_ffn_hidden_size": 20, "moe_topk": 2},
    "minicpm3": _LATENT,
    "mllama": {"text_config": _TEXT | {"cross_attention_layers": [1]}, "vision_config": _IMAGE},
    "modernbert-decoder": _TOKENS | {"cls_token_id": 0, "sep_token_id": 1},
    "moshi": {"ffn_dim": 48, "num_key_value_heads": 4},
    "moss_transcribe_diarize": {"text_config": _TEXT | {"model_type": "qwen3", "head_dim": 8}, "audio_config": _VISION},
    "phi4_multimodal": {
        "vision_config": _IMAGE | {"crop_size": 28},
        "audio_config": {
            **{"hidden_size": 16, "intermediate_size": 20, "num_blocks": 1, "num_attention_heads": 2},
            **{"ext_pw_out_channel": 16, "depthwise_separable_out_channel": 16, "nemo_conv_channels": 16},
        },
    },
    "qwen3_5": {"text_config": _TEXT | _LINEAR | {"head_dim": 8}},
    "qwen3_5_text": _LINEAR,
    "qwen3_5_moe": {
        "text_config": _TEXT | _LINEAR | _EXPERTS | {"head_dim": 8},
        "vision_config": {"depth": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 20},
    },
    "qwen3_5_moe_text": _LINEAR,
    "qwen4_exp": {"text_config": _TEXT | _EXPERTS | {"head_dim": 8}},
    "qwen3_next": _LINEAR,
    "recurrent_gemma": {"lru_width": 32, "block_types": ["recurrent", "attention"], "attention_window_size": 16},
    "xlstm": {"num_heads": 4, "num_blocks": 2, "embedding_dim": 32, "chunk_size": 16, "mode": "inference"},
    "youtu": _LATENT,
    "zamba": {
        **{"layers_block_type": ["mamba", "hybrid", "hybrid"], "num_hidden_layers": 3, "mamba_d_state": 8},
        **{"mamba_dt_rank": 4, "use_mamba_kernels": False},
    },
    "zamba2": {
        **{"layers_block_type": ["mamba", "hybrid"], "mamba_d_state": 8, "mamba_ngroups": 1, "mamba_headdim": 8},
        **{"n_mamba_heads": 8, "num_mem_blocks": 1},
    },
    "zaya": {"num_experts_per_tok": 1},
}
FAMILIES = (
    *("afmoe", "aria_text", "axk1", "axk2", "bailing_hybrid", "bamba", "beam", "bitnet", "cohere", "cohere2"),
    *("cohere2_moe", "cohere_compass_text", "cwm", "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4"),
    *("diffllama", "doge", "dots1", "dots3_note_text", "emu3", "ernie4_5", "ernie4_5_moe", "exaone4", "exaone_moe"),
    *("falcon_h1", "flex_olmo", "flint", "gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n_text", "gemma4"),
    *("gemma4_text", "gemma4_unified", "gemma4_unified_text", "glm", "glm4", "glm4_moe", "glm4_moe_lite"),
    *("glm_moe_dsa", "got_ocr2", "gpt_oss", "granite", "granite_swa", "granitemoe", "granitemoe_swa"),
    *("granitemoehybrid", "granitemoeshared", "helium", "hunyuan_v1_dense", "hunyuan_v1_moe", "hy_v3", "hy_v4"),
    *("hyperclovax", "inkling2_text", "inkling_text", "internlm3", "iquestcoder", "jamba", "jetmoe", "kimi_linear"),
    *("kolibri1", "laguna", "lfm2", "lfm2_moe", "lfm3", "llama", "llama4", "llama4_text", "mellum"),
    *("mimo_v2_flash", "minicpm3", "minimax", "minimax_m2", "minimax_m3_vl_text", "ministral", "ministral3"),
    *("mistral", "mixtral", "modernbert-decoder", "moshi", "moss_transcribe_diarize", "olmo", "olmo2", "olmo3"),
    *("olmo_hybrid", "olmoe", "phi3", "phi4_multimodal", "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_5"),
    *("qwen3_5_moe", "qwen3_5_moe_text", "qwen3_5_text", "qwen3_moe", "qwen3_next", "qwen4_exp", "qwen4_exp_text"),
    *("recurrent_gemma", "seed_oss", "smollm3", "solar_open", "stablelm", "vaultgemma", "xlstm", "youtu", "zaya"),
)


def tiny_config(family: str) -> PretrainedConfig:
    """The small config of a family, by its `model_type`."""
    known = vars(AutoConfig.for_model(family))
    sizes = {name: value for name, value in SIZES.items() if name in known}
    return AutoConfig.for_model(family, **sizes | OPTIONS.get(family, {}))


def tiny_model(family: str, seed: int = 0) -> PreTrainedModel:
    """A random model of a family, in evaluation mode and float32.

    Its weights are wider than the usual 0.02, so that no rounding hides a difference.
    """
    torch.manual_seed(seed)
    model: PreTrainedModel
    model = AutoModelForCausalLM.from_config(tiny_config(family), attn_implementation="eager")
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.eval().requires_grad_(False)
    return model
