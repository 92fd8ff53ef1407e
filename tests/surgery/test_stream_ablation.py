"""Subspaces taken out of o_proj and down_proj, against numpy's arithmetic."""

from typing import Any

import numpy as np
import pytest
import torch

from surgery import InputError, load_model
from surgery.edits.changed_checkpoint import save_changed_checkpoint
from surgery.edits.intervention import load_intervention
from surgery.edits.stream_ablation import StreamAblation
from surgery.export.checkpoint import save_checkpoint
from surgery.model.fingerprints import fingerprint
from tools.tiny_models import WIDTH, tiny_model

D = 16


def basis(rank: int, seed: int = 0, width: int = D) -> torch.Tensor:
    noise = torch.randn(width, rank, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.qr(noise).Q.T.contiguous()


def numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


@pytest.fixture
def parts() -> dict[tuple[str, int], torch.Tensor]:
    """Two matrices of one layer and one of another, with subspaces of their own."""
    return {("o_proj", 2): basis(1, 1), ("down_proj", 2): basis(3, 2), ("down_proj", 4): basis(2, 3)}


def test_matrices_that_share_a_basis_are_saved(model, tmp_path) -> None:
    shared = StreamAblation(dict.fromkeys((("o_proj", 1), ("down_proj", 1)), basis(1)), fingerprint(model))
    shared.save(tmp_path / "one")
    assert load_intervention(tmp_path / "one").fingerprint == shared.fingerprint


STRENGTHS = {("o_proj", 2): 0.5, ("down_proj", 4): 1.25}
PLACES = {
    "model.layers.1.self_attn.o_proj.weight": ("o_proj", 2),
    "model.layers.1.mlp.down_proj.weight": ("down_proj", 2),
    "model.layers.3.mlp.down_proj.weight": ("down_proj", 4),
}


@pytest.mark.parametrize("keep_norms", [False, True])
def test_each_matrix_loses_its_subspace_and_others_stay(model, parts, bits, keep_norms: bool) -> None:
    before = {name: numbers(parameter) for name, parameter in model.named_parameters()}
    untouched = bits(model)
    ablation = StreamAblation(parts, fingerprint(model), 0.8, STRENGTHS, keep_norms)
    with ablation.applied_to(model) as receipt:
        after = {name: numbers(parameter) for name, parameter in model.named_parameters()}
    for name, weight in before.items():
        if name not in PLACES:
            assert np.array_equal(after[name], weight)
            continue
        q = numbers(parts[PLACES[name]])
        expected = weight - 0.8 * STRENGTHS.get(PLACES[name], 1.0) * q.T @ q @ weight
        if keep_norms:
            expected *= np.linalg.norm(weight, axis=0) / np.linalg.norm(expected, axis=0)
        np.testing.assert_allclose(after[name], expected, atol=1e-6)
    assert list(receipt.rows_per_layer) == [2, 4]
    assert bits(model) == untouched


def test_with_alpha_1_vectors_keep_their_norm_and_have_nothing_left_of_the_direction(model) -> None:
    unit = basis(1)
    before = numbers(model.model.layers[2].mlp.down_proj.weight)
    with StreamAblation({("down_proj", 3): unit}, fingerprint(model), keep_norms=True).applied_to(model):
        after = numbers(model.model.layers[2].mlp.down_proj.weight)
    np.testing.assert_allclose(numbers(unit) @ after, 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(after, axis=0), np.linalg.norm(before, axis=0), rtol=1e-6)


def test_its_factors_are_the_same_change_and_its_checkpoint_is_what_was_measured(
    folder, model, parts, tmp_path, bits
) -> None:
    """How an adapter carries factors is told by `test_low_rank.py`."""
    ablation = StreamAblation(parts, fingerprint(model), 0.8, STRENGTHS)
    factored = ablation.low_rank(model)
    assert factored is not None
    assert {one.parameter: one.rank for one in factored.factors()} == dict(zip(PLACES, (1, 3, 2), strict=True))
    with ablation.applied_to(model):
        whole = {name: parameter.clone() for name, parameter in model.named_parameters()}
    with factored.applied_to(model):
        measured = bits(model)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(parameter, whole[name], atol=1e-6, rtol=1e-5)
    factored.save(tmp_path / "factored")
    again = load_intervention(tmp_path / "factored")
    assert (again.fingerprint, str(again)) == (factored.fingerprint, "3 matrices, each by a computed product of rank 3")
    save_checkpoint([factored], folder, tmp_path / "checkpoint")
    assert bits(load_model(str(tmp_path / "checkpoint"), device="cpu")[0]) == measured


def test_vectors_that_keep_their_norm_have_a_checkpoint_and_no_factors(folder, model, parts, tmp_path, bits) -> None:
    ablation = StreamAblation(parts, fingerprint(model), keep_norms=True)
    assert ablation.low_rank(model) is None
    save_changed_checkpoint([ablation], folder, tmp_path / "out")
    with ablation.applied_to(model):
        assert bits(load_model(str(tmp_path / "out"), device="cpu")[0]) == bits(model)


@pytest.mark.parametrize("family", ["phi3", "mixtral", "gpt_oss", "qwen2_moe"])
def test_fused_gates_and_experts_are_ablated_too(family: str) -> None:
    """Of experts in one tensor too; those have no factors, which no adapter could carry."""
    model, unit = tiny_model(family), basis(1, width=WIDTH)
    ablation = StreamAblation({("down_proj", 2): unit}, fingerprint(model))
    mlp: Any = model.model.layers[1].mlp
    down = {name: weight for name, weight in mlp.named_parameters() if name.endswith(("down_proj", "down_proj.weight"))}
    assert down
    axes = {"gpt_oss": "d,efd->ef"}
    with ablation.applied_to(model):
        for weight in down.values():
            written = torch.einsum(axes.get(family, "d,...df->...f"), unit[0], weight)
            assert written.abs().max() < 1e-5
    assert (ablation.low_rank(model) is None) == (family != "phi3")


def test_a_saved_one_is_the_same(model, parts, tmp_path) -> None:
    ablation = StreamAblation(parts, fingerprint(model), 0.8, STRENGTHS, keep_norms=True)
    ablation.save(tmp_path / "one")
    again = load_intervention(tmp_path / "one")
    assert isinstance(again, StreamAblation) and again.fingerprint == ablation.fingerprint
    assert (
        str(again) == "the vectors that o_proj and down_proj of layers 2, 4 write to the stream, which keep their norm"
    )
    others = (
        StreamAblation(parts, fingerprint(model), 0.7, STRENGTHS, keep_norms=True),
        StreamAblation(parts, fingerprint(model), 0.8, keep_norms=True),
        StreamAblation(parts, fingerprint(model), 0.8, STRENGTHS),
        StreamAblation(dict(list(parts.items())[:2]), fingerprint(model), 0.8, STRENGTHS, keep_norms=True),
    )
    assert len({one.fingerprint for one in (ablation, *others)}) == 5


def test_what_can_not_be_ablated_is_said(model) -> None:
    name = fingerprint(model)
    for bases, said in (
        ({}, "no layer to ablate"),
        ({("gate_proj", 1): basis(1)}, "gate_proj does not write to the stream"),
        ({("o_proj", 1): 2 * basis(2)}, "o_proj of layer 1 does not have orthonormal rows"),
    ):
        with pytest.raises(InputError, match=said):
            StreamAblation(bases, name)
    for bases, said in (
        ({("o_proj", 5): basis(1)}, "layer 5 has no o_proj"),
        ({("o_proj", 1): basis(1, width=8)}, "the basis is 8 wide, but this model is 16 wide"),
    ):
        with pytest.raises(InputError, match=said), StreamAblation(bases, name).applied_to(model):
            pass
    # Its first layer mixes by a state space, which writes to the stream too, but has no o_proj.
    mamba = tiny_model("bamba")
    one = StreamAblation({("o_proj", 1): basis(1, width=WIDTH)}, fingerprint(mamba))
    with pytest.raises(InputError, match="layer 1 has no o_proj"), one.applied_to(mamba):
        pass
