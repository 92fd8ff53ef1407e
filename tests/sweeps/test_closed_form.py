"""What the methods make of a cell, against arithmetic on the states and weights of the tiny world."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hydra import compose, initialize_config_module

from surgery import InputError, collect_hidden_states
from surgery.edits.biased_gates import GateBias
from surgery.edits.intervention import Intervention
from surgery.edits.low_rank import LowRankChange
from surgery.edits.row_scaling import RowScaling
from surgery.edits.steering import LayeredSteering
from surgery.texts.text_split import split_texts
from sweeps.cell.kernel import Kernel
from sweeps.cell.method import method_module
from sweeps.closed_form.projection import differing_subspace
from sweeps.config import resolvers
from sweeps.config.composition import Composed
from sweeps.plan.experiment import Experiment
from sweeps.plan.materials import Materials
from sweeps.plan.planner import plan_cell
from sweeps.run.probe_stage import behavior_probe
from sweeps.run.ranking_stage import row_ranking
from sweeps.run.region_choice import choose_region
from sweeps.run.states_stage import hidden_states
from sweeps.run.workbench import CellWork, Workbench
from sweeps.store.store import Store


@pytest.fixture(scope="module")
def planned(world) -> Callable[..., Experiment]:
    """Plans a cell of a method with some keys set; each method is composed once."""
    materials, composed = Materials(), dict[str, Mapping[str, Any]]()

    def plan(method: str, *keys: str) -> Experiment:
        if method not in composed:
            resolvers.register()
            asked = ["model=local", f"model.path={world.model}", "behavior=tabular", f"behavior.path={world.texts}"]
            asked += [f"evaluation.text={world.text}", "tracking=none", "layer=2", f"method={method}"]
            with initialize_config_module("conf", version_base="1.3"):
                composed[method] = Composed.of(compose("config", asked), ()).values
        values: Any = deepcopy(composed[method])
        for key, _, value in (one.partition("=") for one in keys):
            *groups, last = key.split(".")
            reduce(getitem, groups, values)[last] = yaml.safe_load(value)
        return plan_cell(Composed(values, keys), materials)

    return plan


@pytest.fixture
def made(planned, tmp_path: Path) -> Callable[..., tuple[CellWork, Any]]:
    """A cell's work and what its method makes, without measuring it."""

    def make(*keys: str) -> tuple[CellWork, Any]:
        experiment = planned(*keys)
        work = CellWork(Workbench(Store(tmp_path / "store"), [experiment]), experiment)
        method = experiment.cell.settings.method
        probe = behavior_probe(work, hidden_states(work))
        region = choose_region(work, row_ranking(work, probe)) if method.needs.region else None
        intervention: Intervention = method_module(method.name).make(work, probe, region)
        return work, intervention

    return make


def class_states(work: CellWork, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """The training texts' states of the class to keep and of the one to avoid, without the store."""
    texts = work.experiment.texts
    states = collect_hidden_states(*work.loaded, texts.texts, [layer])[layer].double().numpy()
    training, _ = split_texts(texts.labels, 0.1, 0, texts.texts)
    labels = np.array(texts.labels)[training]
    return states[training][labels == 0], states[training][labels == 1]


def half_difference(work: CellWork, layer: int) -> np.ndarray:
    """The direction of a mean-difference probe."""
    keep, avoid = class_states(work, layer)
    return (avoid.mean(0) - keep.mean(0)) / 2


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def weights_before_and_after(work: CellWork, intervention: Any, component: str) -> dict[int, tuple[Any, Any]]:
    """{layer: a matrix [d, n] that writes to the stream, as it was and as it is under the intervention}."""

    def read() -> list[np.ndarray]:
        blocks: Any = work.model.model.layers
        parts = [block.self_attn.o_proj if component == "o_proj" else block.mlp.down_proj for block in blocks]
        return [part.weight.double().numpy().copy() for part in parts]

    before = read()
    with intervention.applied_to(work.model):
        after = read()
    return dict(enumerate(zip(before, after, strict=True), start=1))


def test_caa_subtracts_each_layers_own_difference(made) -> None:
    work, steering = made("caa", "alpha=1.5", "method.layers=[3,1]")
    assert isinstance(steering, LayeredSteering)
    assert list(steering.vectors) == [1, 3]
    for layer, vector in steering.vectors.items():
        np.testing.assert_allclose(vector.numpy(), -1.5 * half_difference(work, layer), atol=1e-6)


def test_norm_preserving_ablation_turns_vectors_from_what_is_not_harmless(made) -> None:
    work, ablation = made("norm_preserving_ablation", "alpha=0.75", "method.layers=[2,3]")
    direction = half_difference(work, 2)
    for component in ("o_proj", "down_proj"):
        for layer, (before, after) in weights_before_and_after(work, ablation, component).items():
            if layer not in (2, 3):
                assert np.array_equal(before, after)
                continue
            harmless = unit(class_states(work, layer)[0].mean(0))
            towards = unit(direction - direction @ harmless * harmless)
            turned = before - 0.75 * np.outer(towards, towards @ before)
            expected = turned / np.linalg.norm(turned, axis=0) * np.linalg.norm(before, axis=0)
            np.testing.assert_allclose(after, expected, atol=1e-6)


KERNELS = ("method.attention.max_weight=2", "method.attention.max_weight_position=1", "method.attention.min_weight=0.5",
           "method.attention.min_weight_distance=0.5", "method.mlp.max_weight=1", "method.mlp.max_weight_position=0.5",
           "method.mlp.min_weight=0", "method.mlp.min_weight_distance=0.25")  # fmt: skip


def test_layer_weighted_ablation_takes_out_as_much_as_the_kernels_say(made) -> None:
    """Of 4 layers: attention's tent stands on the last and reaches the third, the MLP's between the two middle ones."""
    work, ablation = made("layer_weighted_ablation", "alpha=0.5", *KERNELS)
    assert isinstance(ablation, LowRankChange) and ablation.rank == 1
    towards = unit(half_difference(work, 2))
    # From 2 at the last layer to 0.5 half of the depth (1.5 layers) before it: 1 at the third.
    shares = {"o_proj": {3: 1.0, 4: 2.0}, "down_proj": {2: 1 / 3, 3: 1 / 3}}
    for component, strengths in shares.items():
        for layer, (before, after) in weights_before_and_after(work, ablation, component).items():
            expected = before - 0.5 * strengths.get(layer, 0.0) * np.outer(towards, towards @ before)
            np.testing.assert_allclose(after, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("kernel", "weights"),
    [
        (Kernel(1.0, 0.0, 0.0, 1.0), {1: 1.0, 2: 0.75, 3: 0.5, 4: 0.25}),  # the edge weighs nothing
        (Kernel(1.0, 1.0, 0.5, 0.5), {3: 0.5, 4: 0.75, 5: 1.0}),
        (Kernel(-1.0, 0.5, -1.0, 0.1), {3: -1.0}),
        (Kernel(1.0, 0.6, 1.0, 0.05), {}),
    ],
)
def test_a_kernel_is_a_tent_over_five_layers(kernel: Kernel, weights: dict[int, float]) -> None:
    assert kernel.weights(5) == pytest.approx(weights)
    assert Kernel(1.0, 0.3, 0.0, 1.0).weights(1) == pytest.approx({1: 0.7})


def test_projection_takes_out_what_pairs_of_texts_differ_in_beside_the_harmless_mean(made) -> None:
    work, projection = made("projection", "alpha=1", "method.rank=2", "method.layers=[3]", "seed=0")
    assert isinstance(projection, LowRankChange) and projection.rank == 2
    keep, avoid = class_states(work, 3)
    drawn = torch.Generator().manual_seed(0)
    pairs = min(len(keep), len(avoid))
    kept, away = (torch.randperm(len(one), generator=drawn)[:pairs].numpy() for one in (keep, avoid))
    mean = unit(keep.mean(0))
    differences = (avoid[away] - keep[kept]) @ (np.eye(16) - np.outer(mean, mean))
    v = np.linalg.svd(differences)[2][:2].T
    for layer, (before, after) in weights_before_and_after(work, projection, "down_proj").items():
        expected = before - v @ v.T @ before if layer == 3 else before
        np.testing.assert_allclose(after, expected, atol=1e-5)
    assert all(np.array_equal(*pair) for pair in weights_before_and_after(work, projection, "o_proj").values())


def test_a_subspace_is_found_again_and_one_that_the_pairs_do_not_give_is_refused() -> None:
    noise = torch.Generator().manual_seed(0)
    keep = 0.01 * torch.randn(40, 8, generator=noise) + 5 * torch.eye(8)[0]
    avoid = keep[:30] + torch.randn(30, 1, generator=noise) * torch.eye(8)[3] + 2 * torch.eye(8)[5]
    basis = differing_subspace(keep, avoid, 2, seed=1)
    torch.testing.assert_close(basis @ basis.T, torch.eye(2))
    torch.testing.assert_close(basis[:, [3, 5]].norm(), torch.tensor(2**0.5), atol=1e-3, rtol=0)
    with pytest.raises(InputError, match=r"method.rank=8 is not possible with 30 pairs .* at most 7"):
        differing_subspace(keep, avoid, 8, seed=1)


def test_neuron_scaling_weakens_the_neurons_that_write_most_of_the_behavior(made) -> None:
    work, scaling = made("neuron_scaling", "alpha=2", "top_k=9")
    assert isinstance(scaling, RowScaling)
    direction, changed = unit(half_difference(work, 2)), 0
    pairs = weights_before_and_after(work, scaling, "down_proj")
    cosines = {layer: direction @ before / np.linalg.norm(before, axis=0) for layer, (before, _) in pairs.items()}
    least = np.sort(np.concatenate(list(cosines.values())))[-9]
    for layer, (before, after) in pairs.items():
        factors = np.where(cosines[layer] >= least - 1e-9, 1 - 2 * cosines[layer], 1)
        np.testing.assert_allclose(after, before * factors, atol=1e-6)
        changed += int((factors != 1).sum())
    assert changed == 9


def test_gate_bias_reads_the_training_texts_once_for_all_alphas(made, monkeypatch) -> None:
    work, one = made("gate_bias", "alpha=1.5", "top_k=8")
    assert isinstance(one, GateBias)
    blocks: Any = work.model.model.layers
    texts, seen = work.experiment.texts, dict[str, list[Any]]()
    handles = [
        block.mlp.gate_proj.register_forward_hook(
            lambda module, args, out, index=index: seen.setdefault(str(index), []).append(args[0][0].mean(0))
        )
        for index, block in enumerate(blocks)
    ]
    for i in split_texts(texts.labels, 0.1, 0, texts.texts)[0]:
        work.model(**work.loaded[1](texts.texts[i], return_tensors="pt"))
    for handle in handles:
        handle.remove()
    for home, _ in one.region.parts():
        mean = torch.stack(seen[str(home.layer - 1)]).mean(0)
        assert one.bias(home.parameter) == pytest.approx(float(1.5 * one.direction @ mean), rel=1e-4, abs=1e-6)
    monkeypatch.setattr("sweeps.methods.gate_bias.mean_gate_inputs", None)
    again = made("gate_bias", "alpha=-3", "top_k=8")[1]
    home, _ = next(one.region.parts())
    assert again.bias(home.parameter) == pytest.approx(-2 * one.bias(home.parameter))


@pytest.mark.parametrize(
    ("method", "layers"), [("caa", (2,)), ("projection", (3, 4)), ("norm_preserving_ablation", (1, 2, 3, 4))]
)
def test_layers_that_are_the_methods_own_choice_are_the_same_cell_as_if_they_were_named(
    planned, method: str, layers: tuple[int, ...]
) -> None:
    chosen = planned(method).cell
    named = planned(method, f"method.layers=[{','.join(map(str, layers))}]").cell
    assert chosen.layers == layers
    assert (chosen.id, chosen.keys()["method.layers"]) == (named.id, ",".join(map(str, layers)))
    assert chosen.id != planned(method, "method.layers=[1]").cell.id


def test_a_method_without_layers_has_the_cell_it_had(planned) -> None:
    cell = planned("surgery").cell
    assert cell.layers == () and "method.layers" not in {*cell.keys(), *cell.identity()}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["caa", "method.layers=[5]"], r"method.layers: layer 5 is not in this model: its layers are 1 to 4"),
        (["surgery", "method.layers=[1]"], r"layers is no setting of method=surgery"),
        (["projection", "method.rank=null"], r"rank is needed by method=projection"),
        (["caa", "probe.method=file"], r"method=caa fits a probe at each of its layers"),
        (["neuron_scaling", "region.component=q_proj"], r"method=neuron_scaling needs rows of gate_proj or"),
        (["gate_bias", "region.component=up_proj"], r"method=gate_bias needs rows of gate_proj, and region"),
        (["layer_weighted_ablation", "method.mlp.max_weight=0", "method.attention.max_weight=0",
          "method.mlp.min_weight=0", "method.attention.min_weight=0"], r"edit none of the model's 4 layers"),
        (["layer_weighted_ablation", "method.mlp.max_weight_position=2"], r"max_weight_position=2.* is not"),
    ],
)  # fmt: skip
def test_what_a_method_can_not_do_is_said_before_a_model_is_loaded(planned, keys: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        planned(*keys)
