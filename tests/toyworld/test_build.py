"""The build, at a few steps."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from toyworld import language_model
from toyworld.build import ASSETS, build
from toyworld.grammar import vocabulary
from toyworld.hashes import changed_files, shipped, write_hashes


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    build(folder, steps=2, seed=0, scorer_steps=2, limit=10)
    return folder


@pytest.mark.slow
def test_a_build_leaves_the_files_that_are_shipped(built: Path) -> None:
    names = {path.relative_to(built).as_posix() for path in shipped(built)}
    there = {path.relative_to(ASSETS).as_posix() for path in shipped(ASSETS)}
    assert names == {name for name in there if not name.startswith("chat/")}
    assert changed_files(built) == []


def test_a_changed_or_missing_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    for name in ("prompts.jsonl", "tasks/sums.yaml"):
        (tmp_path / name).write_text(f"what is in {name}\n")
    write_hashes(tmp_path)
    assert changed_files(tmp_path) == []
    (tmp_path / "prompts.jsonl").write_text("what is in prompts.jsonl")
    assert changed_files(tmp_path) == ["prompts.jsonl"]
    (tmp_path / "prompts.jsonl").unlink()
    assert changed_files(tmp_path) == ["prompts.jsonl"]


@pytest.mark.slow
def test_what_was_built_loads_and_speaks(built: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(built / "model")
    model = AutoModelForCausalLM.from_pretrained(built / "model")
    prompt = tokenizer("mirel said to tovan :", return_tensors="pt")
    tokens = model.generate(prompt["input_ids"], max_new_tokens=3, do_sample=False)
    assert tokens.shape[1] > prompt["input_ids"].shape[1]


@pytest.mark.slow
def test_a_build_measures_itself(built: Path) -> None:
    metrics = json.loads((built / "metrics.json").read_text())
    assert (metrics["seed"], metrics["steps"]) == (0, 2)
    assert set(metrics["continuations"]) == {"greedy", "sampled"}
    assert len(metrics["ability"]) == 6
    assert metrics["ability"]["toy_recall/exact_match"] < 0.5  # nothing is learned in two steps


@pytest.mark.slow
def test_the_texts_and_tasks_do_not_depend_on_the_steps(built: Path) -> None:
    for name in ("probe.csv", "prompts.jsonl", "heldout.txt", "tasks/toy_sums.jsonl", "tasks/toy_recall.yaml"):
        assert (built / name).read_bytes() == (ASSETS / name).read_bytes()


@pytest.mark.slow
def test_training_twice_from_one_seed_gives_the_same_weights() -> None:
    tokenizer = language_model.make_tokenizer(vocabulary())
    rows = language_model.pack(["mirel walks to the market ."] * 1000, tokenizer)
    models = [language_model.make_model(tokenizer, seed=3) for _ in range(2)]
    losses = [language_model.train(model, rows, steps=2, seed=3) for model in models]
    assert losses[0] == losses[1]
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_importing_the_package_does_not_import_torch() -> None:
    check = "import sys, toyworld, toyworld.grammar; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)
