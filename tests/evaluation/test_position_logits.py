"""Logits in pieces are those of one pass, in every family; where they are not, they are made in one pass."""

from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM
from transformers.modeling_outputs import CausalLMOutput

from evaluation import position_logits
from evaluation.harness.lm_eval_model import ModelInMemory
from evaluation.perplexity import Perplexity
from tools.tiny_models import FAMILIES, tiny_model

IDS = torch.arange(2, 22).reshape(2, 10)
ROWS, COLUMNS = torch.tensor([1, 0, 1, 0, 1, 0, 0]), torch.tensor([9, 3, 0, 9, 5, 4, 4])
PIECE = 3


def in_pieces(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Logits of the positions, three at a time."""
    monkeypatch.setattr(position_logits, "AT_ONCE", PIECE * position_logits._logits_bytes(model))
    with torch.no_grad():
        return list(position_logits.position_logits(model, {"input_ids": IDS}, ROWS, COLUMNS))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_pieces_are_the_logits_of_one_pass(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(family)
    with torch.no_grad():
        expected = model(IDS, use_cache=False).logits[ROWS, COLUMNS]
    pieces = in_pieces(model, monkeypatch)
    assert [len(piece) for piece in pieces] == [3, 3, 1]
    found = torch.cat(pieces)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    torch.testing.assert_close(found.log_softmax(-1), expected.log_softmax(-1), rtol=1e-5, atol=1e-6)
    # The model is as it was.
    assert "forward" not in vars(model.base_model)
    with torch.no_grad():
        assert torch.equal(model(IDS, use_cache=False).logits[ROWS, COLUMNS], expected)


def test_what_a_family_does_to_its_logits_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("gemma2")
    model.config.final_logit_softcapping = 0.01
    assert max(float(piece.abs().max()) for piece in in_pieces(model, monkeypatch)) <= 0.01


def test_a_cpu_gets_what_its_caches_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    with torch.no_grad():
        expected = model(IDS, use_cache=False).logits[ROWS, COLUMNS]
    monkeypatch.setattr(position_logits, "CACHED", 2 * 4 * expected.shape[-1])
    with torch.no_grad():
        at_once = list(position_logits.position_logits(model, {"input_ids": IDS}, ROWS, COLUMNS))
    assert [len(piece) for piece in at_once] == [2, 2, 2, 1]
    assert torch.equal(torch.cat(at_once), expected)
    # Of what the head is run on at once.
    assert [len(piece) for piece in in_pieces(model, monkeypatch)] == [2, 1, 2, 1, 1]


class LooksAtTheSequence(LlamaForCausalLM):
    """Adds to a position's logits those of the position before it, so that a position alone is not enough."""

    def forward(self, input_ids: Any = None, **others: Any) -> CausalLMOutput:
        logits = super().forward(input_ids, **others).logits
        return CausalLMOutput(logits=logits + logits.roll(1, dims=1))


def test_a_model_that_needs_the_whole_sequence_makes_all_logits_at_once(
    model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = LooksAtTheSequence(model.config).eval()
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        expected = other(IDS, use_cache=False).logits[ROWS, COLUMNS]
    (found,) = in_pieces(other, monkeypatch)
    assert torch.equal(found, expected)


def test_a_padded_batch_and_bfloat16(model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    model.bfloat16()
    mask = torch.ones_like(IDS)
    mask[1, 5:] = 0
    inputs = {"input_ids": IDS, "attention_mask": mask}
    columns = COLUMNS % 5
    with torch.no_grad():
        expected = model(**inputs, use_cache=False).logits[ROWS, columns].float()
        monkeypatch.setattr(position_logits, "AT_ONCE", PIECE * position_logits._logits_bytes(model))
        found = torch.cat(list(position_logits.position_logits(model, inputs, ROWS, columns))).float()
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02 * float(expected.abs().max()))


def test_perplexity_is_the_same_in_pieces(model, tokenizer, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "text.txt"
    text.write_text(" ".join(f"w{i * 7 % 60}" for i in range(150)))
    measured = Perplexity({"text": text}, window=20, stride=13)
    (whole,) = measured.measure(model, tokenizer)
    monkeypatch.setattr(position_logits, "AT_ONCE", PIECE * position_logits._logits_bytes(model))
    (pieces,) = measured.measure(model, tokenizer)
    assert whole.sample_ids == pieces.sample_ids
    assert pieces.scores == pytest.approx(whole.scores, rel=1e-5)


REQUESTS = [
    # The first two share all tokens but the last; the fourth is a window of a rolling likelihood; the last is cut.
    (("a", "b"), [5, 6, 7], [8]),
    (("a", "c"), [5, 6, 7], [9]),
    (("d", "e"), [4, 5], [6, 7, 8, 9]),
    (None, [3], [10, 11, 12, 13, 14]),
    (("f", "g"), list(range(4, 60)) * 2, [8, 9]),
]


@pytest.mark.parametrize("piece", (None, 2))
@pytest.mark.parametrize("batch_size", (1, 3))
def test_likelihoods_are_those_of_lm_evals_own_code(
    model, tokenizer, monkeypatch: pytest.MonkeyPatch, piece: int | None, batch_size: int
) -> None:
    from lm_eval.models.huggingface import HFLM

    lm = ModelInMemory(model, tokenizer)
    lm.batch_size_per_gpu = batch_size
    expected = HFLM._loglikelihood_tokens(lm, REQUESTS, disable_tqdm=True)
    if piece is not None:
        monkeypatch.setattr(position_logits, "AT_ONCE", piece * position_logits._logits_bytes(model))
    found = lm._loglikelihood_tokens(REQUESTS, disable_tqdm=True)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    if piece is None:
        assert found == expected
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], rel=1e-5)


def test_the_greedy_continuation_is_known_as_such(model, tokenizer) -> None:
    lm = ModelInMemory(model, tokenizer)
    lm.batch_size_per_gpu = 2
    start = [5, 6, 7]
    with torch.inference_mode():
        made = model.generate(torch.tensor([start]), max_new_tokens=3, do_sample=False)[0, 3:].tolist()
    other = [*made[:2], (made[2] + 1) % 60]
    found = lm._loglikelihood_tokens([(None, start, made), (None, start, other)], disable_tqdm=True)
    assert [greedy for _, greedy in found] == [True, False]
