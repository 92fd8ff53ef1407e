"""Wanda's scores and the set difference, by numpy; and what pruning does to a model."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config

from surgery import InputError
from surgery.activity.input_norms import input_norms
from surgery.edits.intervention import load_intervention
from surgery.edits.pruning import Pruning, wanda_set_difference

RUDE, KIND = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9"], ["w10 w11 w12 w13", "w14 w15"]


def norms_by_hand(model, tokenizer, texts: list[str], layer: str) -> np.ndarray:
    """‖X_j‖₂ over the tokens of all texts, each read alone."""
    squares = 0
    module = model.get_submodule(layer)

    def keep(_, args) -> None:
        nonlocal squares
        squares = squares + (args[0][0].double().numpy() ** 2).sum(0)

    handle = module.register_forward_pre_hook(keep)
    with torch.no_grad():
        for text in texts:
            model(tokenizer(text, return_tensors="pt")["input_ids"])
    handle.remove()
    return np.sqrt(squares)


def difference(weight: np.ndarray, rude: np.ndarray, kind: np.ndarray, q: float, p: float) -> set[tuple[int, int]]:
    """The highest q of |W|·‖X‖ on rude texts without the highest p on kind ones, as positions in [out, in]."""

    def highest(norms: np.ndarray, share: float) -> set[tuple[int, int]]:
        scores = np.abs(weight) * norms[None, :]
        order = np.argsort(-scores, axis=None)[: int(share * scores.size)]
        return set(zip(*(axis.tolist() for axis in np.unravel_index(order, scores.shape)), strict=True))

    return highest(rude, q) - highest(kind, p)


def chosen(model, tokenizer, q: float = 0.2, p: float = 0.1) -> Pruning:
    rude, kind = (input_norms(model, tokenizer, texts) for texts in (RUDE, KIND))
    return wanda_set_difference(model, rude, kind, q, p)


@pytest.mark.parametrize("transposed", [False, True], ids=["llama", "gpt2"])
def test_the_marked_weights_are_the_set_difference(model, build, tokenizer, transposed: bool) -> None:
    if transposed:
        model = build(GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2, n_positions=64, pad_token_id=1))
    pruning = chosen(model, tokenizer)
    assert len(pruning.masks) == (8 if transposed else 28) and "lm_head.weight" not in pruning.masks
    for name, mask in pruning.masks.items():
        rude, kind = (norms_by_hand(model, tokenizer, texts, name.removesuffix(".weight")) for texts in (RUDE, KIND))
        weight = model.get_parameter(name).double().numpy()
        expected = difference(weight.T if transposed else weight, rude, kind, 0.2, 0.1)
        assert {tuple(place) for place in (mask.T if transposed else mask).nonzero().tolist()} == expected


def test_alpha_says_how_much_of_each_weight_goes_and_the_bits_come_back(model, tokenizer, bits) -> None:
    before, pruning = bits(model), chosen(model, tokenizer)
    weights = {name: parameter.clone() for name, parameter in model.named_parameters()}
    for alpha in (1.0, 0.25, -1.0):
        with Pruning(pruning.masks, pruning.base_fingerprint, alpha).applied_to(model) as receipt:
            for name, parameter in model.named_parameters():
                mask = pruning.masks.get(name, torch.zeros_like(parameter, dtype=torch.bool))
                assert torch.equal(parameter[~mask], weights[name][~mask])
                torch.testing.assert_close(parameter[mask], (1 - alpha) * weights[name][mask])
        changes = [alpha * weights[name][mask].double() for name, mask in pruning.masks.items()]
        assert receipt.frobenius_norm == pytest.approx(float(torch.cat(changes).norm()), rel=1e-5)
        assert set(receipt.rows_per_layer) == {1, 2, 3, 4}
        assert bits(model) == before


def test_a_file_holds_a_bit_a_weight_and_gives_the_same_pruning(model, tokenizer, tmp_path) -> None:
    pruning = chosen(model, tokenizer)
    pruning.save(tmp_path / "edit.safetensors")
    again = load_intervention(tmp_path / "edit.safetensors")
    assert isinstance(again, Pruning) and again.fingerprint == pruning.fingerprint
    assert all(torch.equal(again.masks[name], mask) for name, mask in pruning.masks.items())
    numbers = sum(mask.numel() for mask in pruning.masks.values())
    assert (tmp_path / "edit.safetensors").stat().st_size < numbers / 8 + 8000


def test_nothing_to_prune_is_said(model, tokenizer) -> None:
    with pytest.raises(InputError, match=r"larger method\.behavior_share or a smaller method\.utility_share"):
        norms = input_norms(model, tokenizer, RUDE)
        wanda_set_difference(model, norms, norms, 0.1, 0.1)
    with pytest.raises(InputError, match="there are no texts"):
        input_norms(model, tokenizer, [])
