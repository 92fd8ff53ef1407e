"""DPO and SFT by TRL: the losses and gradients of their steps, and that the model is left as it was."""

import copy
import random
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pytest
import torch
import trl.trainer.base_trainer

from surgery import InputError, fingerprint
from surgery.edits.low_rank import LowRankChange
from surgery.texts.text_pairs import TextPairs
from surgery.training import trl_training
from surgery.training.trl_training import finetune_dpo, finetune_sft
from tools.tiny_models import tiny_model

# Of different lengths, so that each batch is padded.
PAIRS = TextPairs(("w1 w2 w3 w4", "w5 w6", "w7 w8 w9", "w1 w3"), ("w9 w8", "w7 w6 w5 w4", "w3 w2 w1", "w2 w4 w6 w8 w9"))
PROMPTED = TextPairs(PAIRS.chosen, PAIRS.rejected, ("w10 w11", "w12", "w13 w14 w15", "w16"))
SETTINGS = {"rank": 2, "lr": 1e-2, "epochs": 2, "batch_size": 4}


def words(text: str) -> list[int]:
    return [int(word[1:]) + 2 for word in text.split()]


@pytest.fixture
def steps(monkeypatch):
    """What each step began with, its loss, and its gradients before they are cut: (LoRA's weights, loss, gradients)."""
    seen = []

    def watch(trainer) -> None:
        own = trainer.training_step

        def step(self, model, inputs, *more):
            weights = {name: one.detach().clone() for name, one in self.model.named_parameters() if one.requires_grad}
            loss = own(self, model, inputs, *more)
            seen.append(
                (
                    weights,
                    float(loss),
                    {name: one.grad.clone() for name, one in self.model.named_parameters() if name in weights},
                )
            )
            return loss

        monkeypatch.setattr(trainer, "training_step", step)

    watch(trl_training._DPO)
    watch(trl_training._SFT)
    return seen


def log_likelihoods(model, weights, prompt: list[int], text: list[int]) -> torch.Tensor:
    """log p of each token of a text after its prompt, under W + B·A; without a prompt, from the second token on."""
    changed = {}
    for name in weights:
        if ".lora_A." in name:
            parameter = name.removeprefix("base_model.model.").replace(".lora_A.default", "")
            changed[parameter] = (
                model.get_parameter(parameter) + weights[name.replace("lora_A", "lora_B")] @ weights[name]
            )
    ids = torch.tensor([[*prompt, *text]])
    logits = torch.func.functional_call(model, changed, (ids,)).logits[0, :-1]
    chosen = torch.log_softmax(logits, -1).gather(1, ids[0, 1:, None])[:, 0]
    return chosen[max(len(prompt) - 1, 0) :]


def prompts(pairs: TextPairs) -> list[list[int]]:
    return [words(prompt) for prompt in pairs.prompts or [""] * len(pairs)]


def dpo_loss(model, weights, pairs: TextPairs, beta: float) -> torch.Tensor:
    """Rafailov et al. 2023, Equation 7."""
    with torch.no_grad():
        still = {name: torch.zeros_like(one) for name, one in weights.items()}
    losses = []
    for prompt, won, lost in zip(prompts(pairs), pairs.chosen, pairs.rejected, strict=True):
        ratios = [
            log_likelihoods(model, weights, prompt, words(text)).sum()
            - log_likelihoods(model, still, prompt, words(text)).sum()
            for text in (won, lost)
        ]
        losses.append(torch.log(1 + torch.exp(-beta * (ratios[0] - ratios[1]))))
    return torch.stack(losses).mean()


def sft_loss(model, weights, pairs: TextPairs) -> torch.Tensor:
    texts = zip(prompts(pairs), pairs.chosen, strict=True)
    return -torch.cat([log_likelihoods(model, weights, prompt, words(text)) for prompt, text in texts]).mean()


@pytest.mark.parametrize(
    "pairs", [pytest.param(PAIRS, id="texts", marks=pytest.mark.slow), pytest.param(PROMPTED, id="after prompts")]
)
@pytest.mark.parametrize("method", ["dpo", "sft"])
def test_each_step_has_the_loss_and_the_gradient_of_the_formula(model, tokenizer, steps, method, pairs) -> None:
    if method == "dpo":
        finetune_dpo(model, tokenizer, pairs, beta=0.3, **SETTINGS)
    else:
        finetune_sft(model, tokenizer, pairs, **SETTINGS)
    assert len(steps) == 2
    losses = []
    for weights, loss, gradients in steps:
        for weight in weights.values():
            weight.requires_grad_(True)
        by_hand = dpo_loss(model, weights, pairs, 0.3) if method == "dpo" else sft_loss(model, weights, pairs)
        by_hand.backward()
        assert loss == pytest.approx(float(by_hand), rel=1e-4)
        for name, weight in weights.items():
            torch.testing.assert_close(gradients[name], weight.grad, rtol=1e-3, atol=1e-6)
        losses.append(loss)
    assert losses[1] < losses[0]
    if method == "dpo":
        assert losses[0] == pytest.approx(np.log(2))


@pytest.mark.slow
def test_capped_logits_are_scored_as_the_model_caps_them(tokenizer, steps) -> None:
    model = tiny_model("gemma2").eval().requires_grad_(False)
    finetune_dpo(model, tokenizer, PAIRS, beta=0.3, **SETTINGS)
    weights, loss, _ = steps[1]
    assert loss == pytest.approx(float(dpo_loss(model, weights, PAIRS, 0.3)), rel=1e-4)


@pytest.mark.parametrize("finetune", [finetune_dpo, pytest.param(finetune_sft, marks=pytest.mark.slow)])
def test_training_leaves_nothing_behind(model, tokenizer, bits, finetune, capfd, monkeypatch, tmp_path) -> None:
    def told(*_: object, **__: object) -> None:
        raise AssertionError("nobody is told of a training")

    monkeypatch.setattr(trl.trainer.base_trainer, "send_telemetry", told)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.chdir(tmp_path)
    before, name, config = bits(model), fingerprint(model), model.config.to_dict()
    modules = [(type(module), list(vars(module))) for module in model.modules()]
    states = torch.random.get_rng_state(), random.getstate(), np.random.get_state()
    temporary = set(Path(gettempdir()).glob("*training*"))
    pad = tokenizer.pad_token
    first = finetune(model, tokenizer, PAIRS, **SETTINGS)
    assert bits(model) == before and fingerprint(model) == name and model.config.to_dict() == config
    assert [(type(module), list(vars(module))) for module in model.modules()] == modules
    assert not model.training and not any(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), states[0]) and random.getstate() == states[1]
    assert all(np.array_equal(now, then) for now, then in zip(np.random.get_state(), states[2], strict=True))
    assert tokenizer.pad_token == pad
    assert list(tmp_path.iterdir()) == [] and set(Path(gettempdir()).glob("*training*")) <= temporary
    assert capfd.readouterr() == ("", "")
    assert isinstance(first, LowRankChange) and first.alpha == 1
    assert finetune(model, tokenizer, PAIRS, **SETTINGS).fingerprint == first.fingerprint
    assert finetune(model, tokenizer, PAIRS, **SETTINGS, seed=1).fingerprint != first.fingerprint


def test_applied_it_prefers_what_was_chosen_and_taken_back_it_is_gone(model, tokenizer, bits) -> None:
    def margin() -> float:
        with torch.no_grad():
            texts = zip(PAIRS.chosen, PAIRS.rejected, strict=True)
            scores = [[log_likelihoods(model, {}, [], words(text)).sum() for text in pair] for pair in texts]
        return float(sum(won - lost for won, lost in scores))

    before, weights = margin(), bits(model)
    change = finetune_dpo(model, tokenizer, PAIRS, **SETTINGS | {"epochs": 5})
    with change.applied_to(model):
        assert margin() > before + 1
    assert bits(model) == weights


def test_the_bar_is_shown_where_it_is_asked_for(model, tokenizer, capfd) -> None:
    finetune_dpo(model, tokenizer, PAIRS, **SETTINGS, progress=True)
    shown = capfd.readouterr()
    assert "DPO" in shown.err and "2/2" in shown.err and shown.out == ""


def test_what_cannot_be_trained_is_said_and_the_model_is_as_it_was(model, tokenizer, bits) -> None:
    before = bits(model)
    with pytest.raises(InputError, match=r"smaller method\.lr"):
        finetune_dpo(model, tokenizer, PAIRS, **SETTINGS | {"lr": 1e30, "epochs": 5})
    with pytest.raises(InputError, match="there are none"):
        finetune_sft(model, tokenizer, TextPairs((), ()))
    with pytest.raises(InputError, match="the prompt of pair 3 takes all of the 3 tokens"):
        finetune_sft(model, tokenizer, PROMPTED, max_length=3)
    dense = tiny_model("deepseek_v3")
    modules = [type(module) for module in dense.modules()]
    with pytest.raises(InputError, match="experts in one tensor"):
        finetune_dpo(dense, tokenizer, PAIRS, **SETTINGS)
    assert [type(module) for module in dense.modules()] == modules
    assert bits(model) == before
    assert copy.deepcopy(model).config.to_dict() == model.config.to_dict()
