"""Contrastive decoding: the next token's distribution by hand, with and without a cache."""

from dataclasses import replace

import pytest
import torch
from transformers import GPT2Config

from evaluation import position_logits as pieces
from surgery import InputError, fingerprint
from surgery.edits.changed_checkpoint import require_weights
from surgery.edits.contrast import ContrastiveDecoding
from surgery.edits.intervention import load_intervention
from surgery.edits.low_rank import LowRankChange
from surgery.training.lora_training import finetune_lora
from tools.tiny_models import tiny_model

IDS = torch.arange(2, 14).reshape(2, 6)
SMALL_GPT2 = GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2, n_positions=64, pad_token_id=1)


@pytest.fixture(scope="module")
def trained(build, tokenizer):
    """A LoRA of the model that every test is given."""
    return finetune_lora(build(), tokenizer, ["w1 w2 w3 w4 w5"] * 4, rank=2, lr=5e-2, epochs=5, batch_size=4)


def by_hand(model, change: LowRankChange, alpha: float, ids: torch.Tensor) -> torch.Tensor:
    """softmax((1 + α)·z − α·z⁻), with z⁻ of the model that has the LoRA merged into its weights: [b, t, vocabulary]."""
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits.double()
        with change.applied_to(model):
            anti = model(ids, use_cache=False).logits.double()
    powers = (torch.log_softmax(logits, -1) * (1 + alpha) - torch.log_softmax(anti, -1) * alpha).exp()
    return powers / powers.sum(-1, keepdim=True)


@pytest.mark.parametrize("alpha", [1.0, 0.5, -1.0])
def test_the_next_tokens_distribution(model, trained, alpha: float) -> None:
    expected = by_hand(model, trained, alpha, IDS)
    with ContrastiveDecoding(trained, alpha).applied_to(model), torch.no_grad():
        found = torch.softmax(model(IDS, use_cache=False).logits.double(), -1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert (expected - by_hand(model, trained, 0.0, IDS)).abs().max() > 1e-2


def test_a_continuation_with_caches_is_the_one_without(model, trained) -> None:
    ids = IDS[:, :3]
    for _ in range(8):
        ids = torch.cat([ids, by_hand(model, trained, 2.0, ids)[:, -1].argmax(-1, keepdim=True)], dim=1)
    greedy = {"max_new_tokens": 8, "do_sample": False, "attention_mask": torch.ones(2, 3, dtype=torch.long)}
    plain = model.generate(IDS[:, :3], **greedy)
    with ContrastiveDecoding(trained, 2.0).applied_to(model):
        assert torch.equal(model.generate(IDS[:, :3], **greedy), ids)
        with torch.no_grad():
            first = model(IDS[:, :3])
            step = model(IDS[:, 3:], past_key_values=first.past_key_values).logits
            torch.testing.assert_close(step, model(IDS, use_cache=False).logits[:, 3:], rtol=1e-4, atol=1e-4)
    assert not torch.equal(plain, ids)


def test_logits_made_in_pieces_are_contrasted_once(model, trained, monkeypatch) -> None:
    monkeypatch.setattr(pieces, "AT_ONCE", 64 * 16 * 3)
    rows, columns = (place.flatten() for place in torch.unravel_index(torch.arange(12), (2, 6)))
    with ContrastiveDecoding(trained, 1.0).applied_to(model), torch.no_grad():
        whole = model(IDS, use_cache=False).logits.flatten(0, 1)
        found = list(pieces.position_logits(model, {"input_ids": IDS}, rows, columns))
    assert len(found) > 1
    torch.testing.assert_close(torch.cat(found), whole)


def test_afterwards_nothing_of_it_is_left(model, trained, bits) -> None:
    before, name, modules = bits(model), fingerprint(model), [list(vars(module)) for module in model.modules()]
    with torch.no_grad():
        logits = model(IDS).logits
        with ContrastiveDecoding(trained, 1.0).applied_to(model) as receipt:
            assert fingerprint(model) != name and receipt.rows == 0
            assert bits(model) == before
        assert torch.equal(model(IDS).logits, logits)
    assert fingerprint(model) == name and bits(model) == before
    assert [list(vars(module)) for module in model.modules()] == modules
    assert not any(module._forward_hooks for module in model.modules())


def test_an_edit_below_it_is_in_both(model, make_edit, tokenizer) -> None:
    """The anti-expert is trained on the edited model, and read over its weights."""
    with make_edit(model).applied_to(model):
        change = finetune_lora(model, tokenizer, ["w1 w2 w3"] * 2, rank=2, lr=1e-2, epochs=3)
        expected = by_hand(model, change, 1.0, IDS)
        with ContrastiveDecoding(change, 1.0).applied_to(model), torch.no_grad():
            found = torch.softmax(model(IDS, use_cache=False).logits.double(), -1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt2", "mixtral", "gemma3_text", "lfm2"])
def test_other_layouts_and_caches(family: str, build, tokenizer) -> None:
    """At alpha -1 it is the anti-expert itself, whose LoRA may as well be merged."""
    model = build(SMALL_GPT2) if family == "gpt2" else tiny_model(family).eval().requires_grad_(False)
    change = finetune_lora(model, tokenizer, ["w1 w2 w3"] * 2, rank=2, lr=1e-2)
    greedy = {"max_new_tokens": 4, "do_sample": False, "attention_mask": torch.ones_like(IDS)}
    with ContrastiveDecoding(change, -1.0).applied_to(model), torch.no_grad():
        logits, ids = model(IDS, use_cache=False).logits, model.generate(IDS, **greedy)
    with change.applied_to(model), torch.no_grad():
        torch.testing.assert_close(logits, model(IDS, use_cache=False).logits, rtol=1e-3, atol=1e-4)
        assert torch.equal(ids, model.generate(IDS, **greedy))


def test_a_file_gives_it_back(model, trained, tmp_path) -> None:
    contrast = ContrastiveDecoding(replace(trained, alpha=0.5), 1.5)
    contrast.save(tmp_path / "edit.safetensors")
    again = load_intervention(tmp_path / "edit.safetensors")
    assert isinstance(again, ContrastiveDecoding) and again.alpha == 1.5 and again.anti_expert.alpha == 0.5
    assert again.fingerprint == contrast.fingerprint != ContrastiveDecoding(trained, 1.5).fingerprint
    assert again.base_fingerprint == fingerprint(model)


def test_what_it_cannot_do_is_said(model, other_model, trained) -> None:
    contrast = ContrastiveDecoding(trained, 1.0)
    with pytest.raises(InputError, match="decodes against another model while the model runs and changes no weight"):
        require_weights([contrast], "adapter")
    with pytest.raises(InputError, match="was made for model"), contrast.applied_to(other_model):
        pass
    with torch.no_grad():
        cache = model(IDS).past_key_values
    with contrast.applied_to(model):
        with pytest.raises(InputError, match="decoded in contrast already"), contrast.applied_to(model):
            pass
        with pytest.raises(InputError, match="a cache of tokens that its anti-expert has not read"), torch.no_grad():
            model(IDS, past_key_values=cache)
