from typing import Any

import pytest
import torch
from transformers import GemmaConfig, GPT2Config, MistralConfig, Phi3Config, Qwen2Config

from surgery import InputError
from surgery.model.model_files import skeleton
from surgery.rows.locator import COMPONENTS, layer_count, locate

COUNTS = {"gate_proj": 24, "up_proj": 24, "down_proj": 24, "q_proj": 32, "k_proj": 16, "v_proj": 16, "o_proj": 32}


@pytest.mark.parametrize("config", [Qwen2Config, MistralConfig, GemmaConfig])
def test_every_component_is_found_and_a_skeleton_tells_the_same(build: Any, sizes: Any, tmp_path: Any, config: Any):
    # Heads are wider than the stream where the architecture allows it, so that no count is a square's.
    options = {} if config is Qwen2Config else {"head_dim": 8}
    model = build(config(**sizes, **options), folder=tmp_path)
    counts = COUNTS if options else COUNTS | {"q_proj": 16, "k_proj": 8, "v_proj": 8, "o_proj": 16}
    parameters = dict(model.named_parameters())
    assert layer_count(model) == 4
    for component in COMPONENTS:
        homes = locate(model, component)
        assert [home.layer for home in homes] == [1, 2, 3, 4]
        for home in homes:
            assert home.count == counts[component]
            view = home.view(parameters[home.parameter])
            assert view.shape == (1, home.count, 16)
            assert view.data_ptr() == parameters[home.parameter].data_ptr()
        assert locate(skeleton(tmp_path), component) == homes


def test_a_model_without_a_gate_is_named_with_what_it_holds(build: Any) -> None:
    model = build(GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2, n_positions=32))
    with pytest.raises(InputError, match=r"GPT2LMHeadModel has no gated MLP.*mlp\.c_fc, mlp\.c_proj") as error:
        locate(model)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rename", ["Phi5MLP", "GatedMLP"])
def test_a_fused_gate_of_an_unknown_class_is_a_clear_error(build: Any, sizes: Any, rename: str) -> None:
    model = build(Phi3Config(**sizes))
    for block in model.model.layers:
        block.mlp.__class__ = type(rename, (torch.nn.Module,), {})
    with pytest.raises(InputError, match=r"Phi3ForCausalLM has no gated MLP that.*mlp\.gate_up_proj"):
        locate(model)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_quantised_weights_are_refused(model: Any, dtype: torch.dtype) -> None:
    for block in model.model.layers:
        weight = block.mlp.gate_proj.weight
        block.mlp.gate_proj.weight = torch.nn.Parameter(weight.to(dtype), requires_grad=False)
    with pytest.raises(InputError, match=rf"gate_proj of layer 1 is quantised \({dtype}\)"):
        locate(model)


def test_an_unknown_component(model: Any) -> None:
    with pytest.raises(InputError, match="gate_proj, up_proj, down_proj, q_proj"):
        locate(model, "gate")
