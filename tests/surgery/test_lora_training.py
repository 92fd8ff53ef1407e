"""LoRA fine-tuning: what it changes, and that it teaches."""

import copy
from dataclasses import replace

import pytest
import torch
from peft import get_peft_model
from transformers import GPT2Config

from surgery import InputError, fingerprint
from surgery.edits.low_rank import LowRankChange
from surgery.training import lora_training
from surgery.training.lora_training import finetune_lora, lora_in_place
from tools.tiny_models import tiny_model

TEXTS = ["w1 w2 w3 w4 w5 w6", "w1 w2 w3 w4 w5 w7"] * 4


def loss(model, tokenizer) -> float:
    ids = tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = torch.log_softmax(model(ids).logits[0, :-1], -1)
    return -float(logits.gather(1, ids[0, 1:, None]).mean())


def trained(model, tokenizer, **more) -> LowRankChange:
    return finetune_lora(model, tokenizer, TEXTS, rank=2, lr=1e-2, epochs=5, batch_size=4, **more)


def test_each_linear_layer_but_the_head_has_factors_of_the_rank(model, tokenizer) -> None:
    change = trained(model, tokenizer)
    linear = {
        f"{name}.weight": tuple(module.weight.shape)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    }
    assert change.shapes() == linear
    assert change.alpha == 1
    for one in change.trained:
        assert one.layer == int(one.parameter.split(".")[2]) + 1
        assert one.a.shape[0] == one.b.shape[1] == 2
        assert torch.linalg.svdvals(one.b @ one.a)[1] > 1e-4


def test_a_model_that_keeps_its_matrices_transposed_is_trained_too(build, tokenizer) -> None:
    model = build(GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2, n_positions=64, pad_token_id=1))
    change, before = trained(model, tokenizer), loss(model, tokenizer)
    assert len(change.trained) == 8 and all(one.transposed for one in change.trained)
    with change.applied_to(model):
        assert loss(model, tokenizer) < before - 0.1


def test_applied_it_is_what_peft_had_when_the_training_ended(model, tokenizer, monkeypatch) -> None:
    """PEFT's own forward and merge, taken just before it is unloaded."""
    tokens, seen = torch.arange(2, 22).reshape(2, 10), {}

    def watched(*arguments):
        adapted = get_peft_model(*arguments)
        unload = adapted.unload

        def look_and_unload():
            with torch.no_grad():
                seen["unmerged"] = adapted(tokens).logits
            seen["merged"] = dict(copy.deepcopy(adapted).merge_and_unload().named_parameters())
            return unload()

        adapted.unload = look_and_unload
        return adapted

    monkeypatch.setattr(lora_training, "get_peft_model", watched)
    change = trained(model, tokenizer)
    with change.applied_to(model), torch.no_grad():
        torch.testing.assert_close(model(tokens).logits, seen["unmerged"], rtol=1e-5, atol=1e-5)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(parameter.data, seen["merged"][name].data, rtol=1e-6, atol=1e-6)


def test_it_learns_its_texts_and_the_negated_task_vector_unlearns_them(model, tokenizer) -> None:
    change, before = trained(model, tokenizer), loss(model, tokenizer)
    with change.applied_to(model):
        assert loss(model, tokenizer) < before - 0.1
    with replace(change, alpha=-1.0).applied_to(model):
        assert loss(model, tokenizer) > before + 0.1


def test_training_leaves_the_model_and_the_random_state_as_they_were(model, tokenizer, bits) -> None:
    before, name, state = bits(model), fingerprint(model), torch.random.get_rng_state()
    modules = [type(module) for module in model.modules()]
    first = trained(model, tokenizer)
    assert bits(model) == before
    assert fingerprint(model) == name
    assert [type(module) for module in model.modules()] == modules
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert trained(model, tokenizer).fingerprint == first.fingerprint
    assert trained(model, tokenizer, seed=1).fingerprint != first.fingerprint


def test_training_that_runs_into_nan_says_so_and_leaves_the_model_as_it_was(model, tokenizer, bits) -> None:
    before = bits(model)
    with pytest.raises(InputError, match=r"smaller method\.lr"):
        finetune_lora(model, tokenizer, TEXTS, rank=2, lr=1e30, epochs=5, batch_size=4)
    assert bits(model) == before


def test_experts_in_one_tensor_stay(tokenizer) -> None:
    model = tiny_model("mixtral")
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    with trained(model, tokenizer).applied_to(model):
        changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert {name.split(".")[3] for name in changed} == {"self_attn"}


def test_a_model_whose_linear_layers_peft_takes_for_experts_is_refused(tokenizer, bits) -> None:
    """Its first layer is dense, with modules called as the experts of older versions were."""
    model = tiny_model("deepseek_v3")
    before, modules = bits(model), [type(module) for module in model.modules()]
    with pytest.raises(InputError, match="experts in one tensor"):
        trained(model, tokenizer)
    assert bits(model) == before
    assert [type(module) for module in model.modules()] == modules


def test_in_place_it_learns_step_by_step_what_a_whole_training_does_and_leaves_nothing(model, tokenizer, bits) -> None:
    before, name, modules = bits(model), fingerprint(model), [type(module) for module in model.modules()]
    whole = trained(model, tokenizer)
    with whole.applied_to(model):
        taught = loss(model, tokenizer)
    with lora_in_place(model, tokenizer, TEXTS, rank=2, lr=1e-2, batch_size=4) as lora:
        untaught = loss(model, tokenizer)
        # 8 texts in batches of 4, 5 times: 10 steps, here in three goes, whatever is drawn between them.
        for steps in (1, 6, 10):
            lora.train_to(steps)
            torch.rand(3)
        torch.testing.assert_close(loss(model, tokenizer), taught, rtol=1e-5, atol=1e-6)
    assert lora.steps_an_epoch == 2
    assert untaught == loss(model, tokenizer) > taught + 0.1
    assert (bits(model), fingerprint(model), [type(module) for module in model.modules()]) == (before, name, modules)
    assert not any(parameter.requires_grad for parameter in model.parameters())
