"""Every gated family of transformers that can be built small: the rows found are what goes through the activation."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from surgery import Edit, InputError, rank_rows
from surgery.region.ranking import RowRanking
from surgery.rows.locator import COMPONENTS, by_layer, layer_count, locate
from surgery.rows.rows import Rows
from tools.families import families_table, with_table
from tools.tiny_models import FAMILIES, WIDTH, tiny_config, tiny_model

TOKENS = torch.arange(2, 22).reshape(2, 10)
# Gate rows of each layer, by the sizes of the tiny configs: an MLP has 24, an expert 20 (24 where the family has one
# size for both), and there are 4 of those; a shared expert has 20, 28, or 40 for two in one. 24 where nothing is said.
ROWS = {
    family: rows
    for rows, families in (
        ([[96], [96]], "cohere2_moe flex_olmo gpt_oss granitemoe granitemoe_swa jetmoe minimax minimax_m2 mixtral"),
        ([[96], [96]], "olmoe phimoe"),
        ([[24], [80, 20]], "axk1 axk2 bailing_hybrid deepseek_v3 deepseek_v32 exaone_moe glm4_moe glm4_moe_lite"),
        ([[24], [80, 20]], "glm_moe_dsa hy_v3 hy_v4 kimi_linear"),
        ([[80, 20], [80, 20]], "deepseek_v2 deepseek_v4 dots1 inkling_text solar_open"),
        ([[80, 28], [80, 28]], "kolibri1 qwen2_moe qwen3_5_moe qwen3_5_moe_text qwen3_next qwen4_exp qwen4_exp_text"),
        ([[80], [80]], "inkling2_text mellum qwen3_moe zaya"),
        ([[96, 28], [96, 28]], "granitemoehybrid granitemoeshared"),
        ([[96, 24], [96, 24]], "hunyuan_v1_moe llama4 llama4_text"),
        ([[24], [80]], "lfm2_moe mimo_v2_flash"),
        ([[24], [40, 80]], "afmoe"),
        ([[96, 48], [96, 48]], "aria_text"),
        ([[24], [80, 1536]], "dots3_note_text"),
        ([[24], [80, 40]], "ernie4_5_moe"),
        ([[24], [96]], "jamba"),
        ([[24], [80, 28]], "laguna"),
        ([[256], [256]], "lfm2"),
        ([[96, 3072], [96, 3072]], "minimax_m3_vl_text"),
        ([[12], [12]], "recurrent_gemma"),
        ([[128], [128]], "xlstm"),
    )
    for family in families.split()
}
NO_GATE = ("gpt2", "opt", "phi", "falcon", "bloom", "gpt_neox", "starcoder2", "apertus", "nanochat", "jais2")


# Those whose rows can't be told or would not be those of a layer, and what is said of them.
REFUSED = {
    "dbrx": r"no gated MLP that this version knows: layer 1 holds .*ffn\.experts\.mlp\.w1, ffn\.experts\.mlp\.v1",
    "hrm_text": r"its 16 decoder blocks were not found .* model\.L_module\.layers \(2\), model\.H_module\.layers \(2\)",
    "longcat_flash": r"its 4 decoder blocks were not found .* are model\.layers \(2\)",
    "mllama": r"has layers that attend to an image \(2\) and are passed over in a text",
    "zamba": r"no gated MLP that this version knows: layer 1 holds mamba\.",
    "zamba2": r"no gated MLP that this version knows: layer 1 holds mamba\.",
}


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS, use_cache=False).logits


def owner_of(model: nn.Module, home: Rows) -> nn.Module:
    """The MLP, or the experts, that a parameter belongs to."""
    path, _, leaf = home.parameter.rpartition(".")
    return model.get_submodule(path.rpartition(".")[0] if leaf == "weight" else path)


def replayed(model: nn.Module, homes: tuple[Rows, ...]) -> dict[str, Callable[[], torch.Tensor]]:
    """For each home, a call of its MLP or experts with the input that it had in a forward pass of the model."""
    calls: dict[nn.Module, tuple[Any, Any]] = {}
    handles = [
        owner_of(model, home).register_forward_pre_hook(
            lambda module, args, kwargs: calls.__setitem__(module, (args, kwargs)), with_kwargs=True
        )
        for home in homes
    ]
    logits(model)
    for handle in handles:
        handle.remove()

    def again(module: nn.Module) -> torch.Tensor:
        args, kwargs = calls[module]
        output = module(*args, **kwargs)
        return output[0] if isinstance(output, tuple) else output

    return {home.parameter: partial(again, owner_of(model, home)) for home in homes}


def output_with(call: Callable[[], torch.Tensor], rows: torch.Tensor, factor: float) -> torch.Tensor:
    """What the MLP gives with some rows multiplied by a number, and only for this call."""
    original = rows.clone()
    rows.mul_(factor)
    try:
        return call().clone()
    finally:
        rows.copy_(original)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(family: str) -> Any:
    return tiny_model(family)


def test_every_row_found_is_what_its_name_says(family: str, model: Any) -> None:
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        if "bias" in name:
            parameter.zero_()  # so that an MLP without its gate gives nothing at all
    homes = {component: locate(model, component) for component in ("gate_proj", "up_proj", "down_proj")}
    calls = replayed(model, homes["gate_proj"])
    in_layers = by_layer(homes["gate_proj"])
    assert list(in_layers) == list(range(1, layer_count(model) + 1)) == [1, 2]
    counts = [[home.total for home in found] for found in in_layers.values()]
    assert counts == ROWS.get(family, [[24], [24]])
    for gate, up, down in zip(*homes.values(), strict=True):
        assert gate.total == up.total == down.total
        call = calls[gate.parameter]
        gate_rows, up_rows, down_rows = (home.view(parameters[home.parameter]) for home in (gate, up, down))
        assert gate_rows.shape == up_rows.shape == down_rows.shape == (gate.experts, gate.count, WIDTH)
        base = call()
        assert base.abs().max() > 0
        # Without its gate, and without its down, an MLP gives nothing: no row of any expert was missed.
        for rows in (gate_rows, down_rows):
            assert torch.equal(output_with(call, rows, 0), torch.zeros_like(base))
        # It is a straight line in up, and none in the gate, which goes through the activation.
        tolerance = 1e-5 * float(base.abs().max())
        straight = base + output_with(call, up_rows, -1) - 2 * output_with(call, up_rows, 0)
        bent = base + output_with(call, gate_rows, -1)
        assert straight.abs().max() < tolerance < bent.abs().max() / 100


def test_an_edit_of_every_component_moves_the_logits_and_is_taken_back(family: str, model: Any, bits: Any) -> None:
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(3))
    plain, before = logits(model), bits(model)
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(tiny_config(family))
    for component in COMPONENTS:
        try:
            homes = locate(model, component)
        except InputError:
            assert component not in ("gate_proj", "up_proj", "down_proj")
            continue
        assert locate(skeleton, component) == homes
        ranked = rank_rows(model, direction, component)
        edit = Edit(direction, 0.5, ranked.lowest(len(ranked) // 2))
        with edit.applied_to(model) as receipt:
            assert not torch.equal(logits(model), plain), component
        assert receipt.rows == len(ranked) // 2 == sum(receipt.rows_per_layer.values())
        assert bits(model) == before
    assert torch.equal(logits(model), plain)


def test_only_the_chosen_rows_change() -> None:
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(3))
    for family, rows_of in BY_HAND.items():
        model = tiny_model(family)
        before = {name: parameter.clone() for name, parameter in model.named_parameters()}
        region = rank_rows(model, direction).lowest(40)
        with Edit(direction, 0.5, region).applied_to(model):
            changed = {name: parameter - before[name] for name, parameter in model.named_parameters()}
        for name, change in changed.items():
            if not change.any() or name.endswith("gate_proj.weight"):
                continue
            assert name.endswith(("gate_up_proj", "gate_up_proj.weight")), name
            gate, other = rows_of(change)
            assert not other.any()
            touched = gate.any(-1)
            torch.testing.assert_close(gate[touched], (0.5 * direction).expand(int(touched.sum()), WIDTH))
        assert sum(int((change != 0).sum()) for change in changed.values()) == 40 * WIDTH


# Gate rows and the others of a fused tensor, written down from each family's forward pass.
BY_HAND: dict[str, Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]] = {
    "phi3": lambda tensor: (tensor[:24], tensor[24:]),
    "glm4": lambda tensor: (tensor[:24], tensor[24:]),
    "mixtral": lambda tensor: (tensor[:, :24], tensor[:, 24:]),
    "qwen2_moe": lambda tensor: (tensor[:, :20], tensor[:, 20:]),
    "llama4_text": lambda tensor: (tensor.mT[:, :24], tensor.mT[:, 24:]),
    "llama4": lambda tensor: (tensor.mT[:, :24], tensor.mT[:, 24:]),
    "phi4_multimodal": lambda tensor: (tensor[:24], tensor[24:]),
    "gpt_oss": lambda tensor: (tensor.mT[:, ::2], tensor.mT[:, 1::2]),
}


@pytest.mark.parametrize("family", NO_GATE)
def test_a_family_without_a_gate_is_refused_with_what_it_holds(family: str) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(tiny_config(family))
    with pytest.raises(InputError, match=r"has no gated MLP that this version knows: layer 1 holds .*mlp|fc1"):
        locate(model)


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_with_gates_that_are_not_one_a_layer_is_refused_with_what_was_found(family: str) -> None:
    with pytest.raises(InputError, match=REFUSED[family]):
        locate(tiny_model(family))


def test_a_router_is_no_gate() -> None:
    for family in ("mixtral", "qwen2_moe", "deepseek_v3", "gpt_oss"):
        names = {home.parameter for home in locate(tiny_model(family))}
        assert not any(name.endswith((".gate.weight", "router.weight", "_gate.weight")) for name in names)


class Twisted(nn.Module):
    """Experts that say nothing of how they lie."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.zeros(4, 48, WIDTH))
        self.down_proj = nn.Parameter(torch.zeros(4, WIDTH, 24))


class Whole(nn.Module):
    """A gated MLP under other names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, 48, bias=False), nn.Linear(24, WIDTH, bias=False)


@pytest.mark.parametrize("extra", [Twisted, Whole])
def test_what_may_be_one_more_gate_is_not_passed_over(extra: type[nn.Module]) -> None:
    model = tiny_model("llama")
    model.model.layers[1].mlp.more = extra()
    with pytest.raises(
        InputError, match=rf"layer 2 has a gated MLP and, in mlp.more \({extra.__name__}: .*does not know"
    ):
        locate(model)
    model.model.layers[1].mlp = extra()
    with pytest.raises(InputError, match=r"no gated MLP that this version knows: layer 2 holds .*mlp\."):
        locate(model)


def test_a_known_name_with_other_shapes_is_refused() -> None:
    model = tiny_model("phi3")
    model.model.layers[0].mlp.gate_up_proj = nn.Linear(WIDTH, 50, bias=False)
    with pytest.raises(InputError, match=r"mlp of layer 1 \(Phi3MLP\) is known as .*gate_up_proj \[50, 32\]"):
        locate(model)


def test_a_matrix_that_layers_share_is_refused() -> None:
    model = tiny_model("llama")
    model.model.layers[1].mlp = model.model.layers[0].mlp
    with pytest.raises(InputError, match=r"several layers share model\.layers\.0\.mlp\.gate_proj\.weight"):
        locate(model)


def test_a_layer_of_another_kind_than_attention_has_no_queries() -> None:
    model = tiny_model("bamba")
    assert {home.layer for home in locate(model, "q_proj")} == {2}
    assert {home.layer for home in locate(model, "gate_proj")} == {1, 2}
    # Its q_proj holds an output gate too, head by head.
    with pytest.raises(InputError, match="Qwen3NextForCausalLM has no q_proj"):
        locate(tiny_model("qwen3_next"), "q_proj")


def test_regions_and_rankings_of_experts_are_kept_in_files(tmp_path: Any) -> None:
    model = tiny_model("qwen2_moe")
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(3))
    ranked = rank_rows(model, direction)
    ranked.save(tmp_path / "ranking")
    edit = Edit(direction, 0.5, RowRanking.load(tmp_path / "ranking").lowest(50))
    edit.save(tmp_path / "edit")
    assert Edit.load(tmp_path / "edit").fingerprint == Edit(direction, 0.5, ranked.lowest(50)).fingerprint
    plain = logits(model)
    with Edit.load(tmp_path / "edit").applied_to(model) as receipt:
        assert not torch.equal(logits(model), plain)
    assert receipt.rows == 50
    with pytest.raises(InputError, match="can't carry them; export a checkpoint"):
        edit.save_adapter(tmp_path / "adapter")


def test_cosines_of_experts_are_those_of_their_gate_rows() -> None:
    model = tiny_model("gpt_oss")
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(3))
    ranked = rank_rows(model, direction)
    for layer, row, cosine in list(
        zip(ranked.layer.tolist(), ranked.row.tolist(), ranked.cosine.tolist(), strict=True)
    )[::7]:
        vector = model.model.layers[layer - 1].mlp.experts.gate_up_proj[row // 24, :, 2 * (row % 24)]
        assert cosine == pytest.approx(float(torch.cosine_similarity(vector, direction, dim=0)), abs=1e-6)


@pytest.mark.slow
def test_the_page_has_the_table_as_it_is_found_now() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    assert with_table(page, families_table()) == page
    with pytest.raises(InputError, match="no place for the table"):
        with_table("# Models", "")
