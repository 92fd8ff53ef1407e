"""A short training on the behavior, and the behavior again: against PEFT and AdamW on models edited by hand."""

import copy
import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from sklearn.model_selection import train_test_split

from evaluation import Continuations, Divergence, Generation, LmEval, generate
from evaluation.robustness import Relearning
from evaluation.robustness.relearned_names import metric_and_steps, name_after
from evaluation.robustness.relearned_texts import relearned_texts
from surgery import Edit, InputError, fingerprint, rank_rows
from surgery.edits.ablation import Ablation
from surgery.edits.new_weights import NewWeights
from surgery.edits.steering import Steering
from surgery.texts.texts import LabelledTexts
from surgery.training.lora_training import finetune_lora

ODD, EVEN = [f"w{i}" for i in range(1, 60, 2)], [f"w{i}" for i in range(0, 60, 2)]
PROMPTS = [f"w{i} w{i + 2} w{i + 4}" for i in range(0, 16, 2)]
TRAINING: dict[str, Any] = {"lr": 2e-2, "rank": 2, "batch_size": 4}


class OddWords:
    """The share of a continuation's words that are odd: the behavior."""

    def check(self) -> None: ...
    def prepare(self) -> None: ...
    def identity(self) -> dict[str, Any]:
        return {"kind": "odd words"}

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        return {"odd/mean": np.array([odd(text) for text in continuations])}


def odd(text: str) -> float:
    words = text.split()
    return sum(int(word[1:]) % 2 for word in words if word[1:].isdigit()) / max(len(words), 1)


@pytest.fixture
def behavior(tmp_path: Path) -> dict[str, Any]:
    random = Random(0)
    with open(tmp_path / "texts.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for index in range(60):
            rows.writerow([" ".join(random.choices(ODD if index % 2 else EVEN, k=7)), index % 2])
    return {"path": str(tmp_path / "texts.csv"), "text": "text", "label": "label", "max_length": 100, "chat": False}


@pytest.fixture
def measured(tmp_path: Path) -> Continuations:
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    settings = Generation(max_new_tokens=5, tokens_per_batch=400)
    return Continuations(tmp_path / "prompts.txt", generation=settings, scorers={"odd": OddWords()})


@pytest.fixture
def relearning(behavior: dict[str, Any], measured: Continuations) -> Relearning:
    return Relearning({"continuations": measured}, behavior, share=0.2, steps=[0, 3, 8], **TRAINING)


def trained_on(behavior: dict[str, Any]) -> list[str]:
    """The avoided class's part of scikit-learn's own split, which a probe of seed 0 is trained on."""
    with open(behavior["path"]) as file:
        rows = list(csv.DictReader(file))
    kept, _ = train_test_split(range(60), test_size=0.2, random_state=0, stratify=[int(row["label"]) for row in rows])
    return [rows[i]["text"] for i in sorted(kept) if rows[i]["label"] == "1"]


def curve(measurements: Any) -> dict[int, dict[str, float]]:
    """{steps: {prompt: score}} of the behavior."""
    found: dict[int, dict[str, float]] = {}
    for one in measurements:
        metric, steps = metric_and_steps(one.name)
        assert (metric, one.name) == ("odd/mean", f"robustness/odd/mean_after_{steps}")
        found.setdefault(steps, {}).update(zip(one.inputs, one.scores.tolist(), strict=True))
    return found


def by_hand(model: Any, tokenizer: Any, texts: list[str], settings: Generation) -> dict[int, dict[str, float]]:
    """PEFT's LoRA on every linear layer but the head, and AdamW, as long as it takes."""
    torch.manual_seed(0)
    modules = [name for name, one in model.named_modules() if isinstance(one, torch.nn.Linear) and name != "lm_head"]
    config = LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=2, lora_dropout=0.0, target_modules=modules)
    adapted: Any = get_peft_model(model, config)
    optimizer = torch.optim.AdamW((one for one in adapted.parameters() if one.requires_grad), lr=2e-2, weight_decay=0)
    batches = [batch for _ in range(3) for batch in torch.randperm(len(texts)).split(4)]
    found = {}
    for step in range(9):
        if step in (0, 3, 8):
            said = generate(model, tokenizer, PROMPTS, settings).texts
            found[step] = {prompt: odd(text) for prompt, text in zip(PROMPTS, said, strict=True)}
        ids = torch.stack([tokenizer(texts[i], return_tensors="pt")["input_ids"][0] for i in batches[step].tolist()])
        optimizer.zero_grad()
        logits = adapted(input_ids=ids).logits[:, :-1].flatten(0, 1)
        torch.nn.functional.cross_entropy(logits, ids[:, 1:].flatten()).backward()
        optimizer.step()
    return found


def test_it_is_the_behavior_after_steps_of_a_lora_on_top_of_an_edit(
    model: Any, tokenizer: Any, relearning: Relearning, behavior: dict[str, Any], measured: Continuations
) -> None:
    edit = Edit(torch.randn(32, generator=torch.Generator().manual_seed(5)), 2.0, _region(model))
    edited = copy.deepcopy(model)
    for home, rows in edit.region.parts():
        edited.get_parameter(home.parameter).data[rows] += 2.0 * edit.direction
    expected = by_hand(edited, tokenizer, trained_on(behavior), measured.generation)
    relearning.check()
    with edit.applied_to(model):
        plain = curve(replace(relearning, steps=[0]).measure(model, tokenizer))
        found = curve(relearning.measure(model, tokenizer))
    assert found == expected
    assert plain[0] == found[0]
    assert len({tuple(one.values()) for one in found.values()}) == 3
    base = curve(relearning.measure(model, tokenizer))
    assert base == by_hand(copy.deepcopy(model), tokenizer, trained_on(behavior), measured.generation)
    assert base != found


def test_a_steered_model_is_trained_as_it_is_steered(
    model: Any, tokenizer: Any, relearning: Relearning, behavior: dict[str, Any], measured: Continuations
) -> None:
    direction = torch.randn(32, generator=torch.Generator().manual_seed(5))
    steered = copy.deepcopy(model)
    steered.model.layers[0].register_forward_hook(lambda module, args, output: output - 1.5 * direction)
    expected = by_hand(steered, tokenizer, trained_on(behavior), measured.generation)
    with Steering(direction, 1.5, 1, fingerprint(model)).applied_to(model):
        assert curve(relearning.measure(model, tokenizer)) == expected


def test_training_on_the_behavior_brings_it_back(model: Any, tokenizer: Any, relearning: Relearning) -> None:
    found = curve(replace(relearning, steps=[0, 30]).measure(model, tokenizer))
    before, after = (np.mean(list(found[steps].values())) for steps in (0, 30))
    assert after > before + 0.3


def _region(model: Any) -> Any:
    return rank_rows(model, torch.randn(32, generator=torch.Generator().manual_seed(5))).lowest(30)


def _edit(model: Any, tokenizer: Any) -> Any:
    return Edit(torch.ones(32), 0.1, _region(model))


def _steering(model: Any, tokenizer: Any) -> Any:
    return Steering(torch.ones(32), 0.3, 2, fingerprint(model))


def _ablation(model: Any, tokenizer: Any) -> Any:
    return Ablation(torch.ones(32), 1.0, fingerprint(model))


def _lora(model: Any, tokenizer: Any) -> Any:
    return finetune_lora(model, tokenizer, [" ".join(EVEN[:6])] * 4, rank=2, lr=1e-2)


def _new_weights(model: Any, tokenizer: Any) -> Any:
    name = "model.layers.0.mlp.up_proj.weight"
    return NewWeights({name: model.get_parameter(name).detach() * 1.1}, fingerprint(model))


def _decoding(model: Any, tokenizer: Any) -> Any:
    """A method of anyone's own, that changes what generate does and no weight."""

    class Shorter:
        @contextmanager
        def applied_to(self, model: Any) -> Iterator[None]:
            own = model.generate
            model.generate = lambda **given: own(**given)[:, :-2]
            try:
                yield
            finally:
                del model.generate

    return Shorter()


@pytest.mark.parametrize(
    "make",
    [
        _edit,
        _steering,
        _decoding,
        *(pytest.param(one, marks=pytest.mark.slow) for one in (_ablation, _lora, _new_weights)),
    ],
)
def test_whatever_the_method_the_model_is_afterwards_what_it_was_to_the_bit(
    model: Any, tokenizer: Any, relearning: Relearning, make: Callable[..., Any]
) -> None:
    short = replace(relearning, steps=[0, 2])
    before, name, state = _bits(model), fingerprint(model), torch.random.get_rng_state()
    intervention = make(model, tokenizer)
    with intervention.applied_to(model):
        inside, called = _bits(model), fingerprint(model)
        plain = measured_now(short, model, tokenizer)
        first = curve(short.measure(model, tokenizer))
        assert (_bits(model), fingerprint(model)) == (inside, called)
        assert plain == first[0]
    assert (_bits(model), fingerprint(model)) == (before, name)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first != curve(short.measure(model, tokenizer)) == curve(short.measure(model, tokenizer))
    assert all(parameter.requires_grad for parameter in model.parameters())


def measured_now(relearning: Relearning, model: Any, tokenizer: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for one in relearning.measures["continuations"].measure(model, tokenizer):
        found.update(zip(one.inputs or (), one.scores.tolist(), strict=True))
    return found


def _bits(model: Any) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


def test_an_error_while_it_measures_leaves_the_model_as_it_was(
    model: Any, tokenizer: Any, relearning: Relearning
) -> None:
    before, modules = _bits(model), [type(module) for module in model.modules()]
    with pytest.raises(InputError, match=r"take a smaller evaluation\.robustness\.lr than 1e\+30"):
        replace(relearning, lr=1e30).measure(model, tokenizer)
    assert (_bits(model), [type(module) for module in model.modules()]) == (before, modules)


def test_no_text_is_trained_on_that_is_held_out_or_begins_with_a_scored_prompt(behavior: dict[str, Any]) -> None:
    texts = [f"a b {i} c" for i in range(20)] + [f"no {i}" for i in range(20)] + ["A  b 3 c", "a b 4"]
    given = LabelledTexts(tuple(texts), (*[1] * 20, *[0] * 20, 1, 1), ("0", "1"))
    every, none = relearned_texts(given, 0.25, [])
    assert none == 0 and len(every) == len({text.casefold() for text in every})
    prompts = [" ".join(text.split()[:3]).upper() for text in every[:4]] + ["b", "a b 3 c d"]
    kept, left_out = relearned_texts(given, 0.25, prompts)
    assert (kept, left_out) == (every[4:], 4)
    numbers = np.array([3 if text == "A  b 3 c" else i for i, text in enumerate(texts)])
    different = sorted(set(numbers))
    train, held_out = train_test_split(
        range(len(different)), test_size=0.25, random_state=0, stratify=[given.labels[i] for i in different]
    )
    assert {texts[different[i]].casefold() for i in train if given.labels[different[i]]} == {
        " ".join(text.casefold().split()) for text in every
    }
    assert not {texts[different[i]] for i in held_out} & set(every)


def test_what_can_not_be_trained_is_said(relearning: Relearning, measured: Continuations, tmp_path: Path) -> None:
    relearning.check()
    for change, sentence in (
        ({"steps": []}, r"robustness\.steps=\[\] is not possible: whole numbers from 0 that rise"),
        ({"steps": [10, 3]}, r"steps=\[10, 3\] is not possible"),
        ({"steps": [1.5]}, r"steps=\[1.5\] is not possible"),
        ({"lr": 0}, r"robustness\.lr=0 is not possible: it is a number above 0"),
        ({"rank": 1.5}, r"rank=1.5 is not possible: it is a whole number from 1"),
        ({"batch_size": 0}, r"batch_size=0 is not possible"),
        (
            {"batch_size": 25},
            r"trains on 24 different texts of class '1' that a probe of seed 0 is trained on, and a step reads 25; "
            r"give more texts, or say evaluation\.robustness\.batch_size=24",
        ),
        ({"measures": {"far": Divergence(measured)}}, "names 'far', which is a distance from the base"),
    ):
        with pytest.raises(InputError, match=sentence):
            replace(relearning, **change).check()
    made = {"continuations": measured, "lm_eval": LmEval([])}
    assert list(Relearning.of(made, None, texts={}).measures) == ["continuations"]
    assert list(Relearning.of(made, ["lm_eval"], texts={}).measures) == ["lm_eval"]
    with pytest.raises(InputError, match=r"robustness\.of names 'tox'; what is measured is continuations, lm_eval"):
        Relearning.of(made, ["tox"], texts={})
    with pytest.raises(InputError, match="nothing here continues prompts"):
        Relearning.of({"lm_eval": LmEval([])}, None, texts={})


def test_the_texts_and_how_is_trained_are_the_protocol(relearning: Relearning, behavior: dict[str, Any]) -> None:
    changes: list[dict[str, Any]] = [{"steps": [3, 8]}, {"lr": 1e-3}, {"rank": 3}, {"batch_size": 5}, {"share": 0.3}]
    changes += [{"texts": behavior | change} for change in ({"max_length": 5}, {"chat": True}, {"avoid": [0]})]
    identities = [replace(relearning, **change).identity() for change in changes]
    assert len({str(one) for one in [*identities, relearning.identity()]}) == 9
    moved = Path(behavior["path"]).with_name("moved.csv")
    moved.write_bytes(Path(behavior["path"]).read_bytes())
    assert replace(relearning, texts=behavior | {"path": str(moved)}).identity() == relearning.identity()


def test_a_metric_is_found_by_its_name_after_a_training() -> None:
    assert metric_and_steps(name_after("guard/x_after_2/any_unsafe", 30)) == ("guard/x_after_2/any_unsafe", 30)
    assert metric_and_steps("toxicity/toxic_rate") == ("toxicity/toxic_rate", 0)
