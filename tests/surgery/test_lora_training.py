"""LoRA fine-tuning: what it changes, and that it teaches."""

import torch

from surgery import fingerprint
from surgery.lora_training import finetune_lora
from surgery.new_weights import NewWeights

TEXTS = ["w1 w2 w3 w4 w5 w6", "w1 w2 w3 w4 w5 w7"] * 4


def loss(model, tokenizer) -> float:
    ids = tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = torch.log_softmax(model(ids).logits[0, :-1], -1)
    return -float(logits.gather(1, ids[0, 1:, None]).mean())


def trained(model, tokenizer, **more) -> NewWeights:
    return finetune_lora(model, tokenizer, TEXTS, rank=2, lr=1e-2, epochs=5, batch_size=4, **more)


def test_each_linear_layer_but_the_head_changes_by_a_matrix_of_the_rank(model, tokenizer) -> None:
    change = trained(model, tokenizer)
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert set(change.trained) == linear - {"lm_head.weight"}
    for name, values in change.trained.items():
        singular = torch.linalg.svdvals(values - model.get_parameter(name))
        assert singular[1] > 1e-4 > singular[2]


def test_it_learns_its_texts_and_the_negated_task_vector_unlearns_them(model, tokenizer) -> None:
    change, before = trained(model, tokenizer), loss(model, tokenizer)
    with change.applied_to(model):
        assert loss(model, tokenizer) < before - 0.1
    with NewWeights(change.trained, change.base_fingerprint, -1.0).applied_to(model):
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
