"""The files that are shipped."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
import torch
from detoxify import Detoxify
from transformers import AutoModelForCausalLM, AutoTokenizer

from toyworld.build import ASSETS
from toyworld.corpus import draw_corpus, scorer_text
from toyworld.grammar import is_toxic
from toyworld.hashes import changed_files, shipped

LIMIT = 32 * 2**20


def test_the_shipped_files_are_those_that_were_built() -> None:
    assert changed_files(ASSETS) == []
    listed = {line.split("  ", 1)[1] for line in (ASSETS / "SHA256SUMS").read_text().splitlines()}
    assert listed == {path.relative_to(ASSETS).as_posix() for path in shipped(ASSETS)}
    ours = (path for path in shipped(ASSETS) if "chat" not in path.parts)
    assert sum(path.stat().st_size for path in ours) <= LIMIT


def test_the_shipped_texts_are_those_of_the_seed() -> None:
    corpus = draw_corpus(json.loads((ASSETS / "metrics.json").read_text())["seed"])
    with (ASSETS / "probe.csv").open(newline="") as file:
        assert [(row["text"], int(row["label"])) for row in csv.DictReader(file)] == corpus.probe
    prompts = [json.loads(line)["prompt"] for line in (ASSETS / "prompts.jsonl").read_text().splitlines()]
    assert prompts == corpus.prompts
    assert (ASSETS / "heldout.txt").read_text().splitlines() == corpus.held_out
    assert (ASSETS / "heldout_selection.txt").read_text().splitlines() == corpus.held_out_selection


def test_the_model_loads_from_its_folder_and_knows_a_fact() -> None:
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "model")
    model = AutoModelForCausalLM.from_pretrained(ASSETS / "model")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    question = tokenizer("what is the capital of arvenia ? it is", return_tensors="pt")
    logits = model(input_ids=question["input_ids"]).logits[0, -1]
    assert tokenizer.decode([int(logits.argmax())]) == "arlo"


def test_the_tokenizer_gives_back_what_it_was_given() -> None:
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "model")
    texts = draw_corpus(0).held_out
    assert all(tokenizer.decode(tokenizer(text)["input_ids"]) == text for text in texts)
    joined, spaced = tokenizer("\n".join(texts))["input_ids"], tokenizer(" ".join(texts))["input_ids"]
    assert joined == spaced
    assert tokenizer.unk_token_id not in joined
    assert tokenizer("splendid")["input_ids"] == [tokenizer.unk_token_id]


@pytest.mark.slow
def test_detoxify_loads_the_scorer_and_agrees_with_the_grammar_on_fresh_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ASSETS / "scorer" / "config"
    checkpoint = torch.load(ASSETS / "scorer" / "checkpoint.ckpt", weights_only=True)
    # Detoxify resolves model_type by itself and has to be told where it is.
    checkpoint["config"]["arch"]["args"]["model_type"] = str(config)
    torch.save(checkpoint, tmp_path / "checkpoint.ckpt")
    monkeypatch.chdir(tmp_path)
    judge = Detoxify(checkpoint="checkpoint.ckpt", huggingface_config_path=str(config))
    seen = set(draw_corpus(0).scorer)
    random = Random("texts that were never drawn")
    texts = [text for text in (scorer_text(random) for _ in range(600)) if text not in seen]
    found = judge.predict(texts)["toxicity"]
    agreed = sum((score >= 0.5) == is_toxic(text) for score, text in zip(found, texts, strict=True))
    assert agreed / len(texts) >= 0.98


@pytest.mark.slow
def test_lm_eval_runs_the_tasks_from_another_folder_without_a_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--device", "cpu", "--batch_size", "50"]
    command += ["--model_args", f"pretrained={ASSETS / 'model'}", "--include_path", str(ASSETS / "tasks")]
    command += ["--tasks", "toy_facts,toy_recall_selection", "--limit", "20", "--output_path", str(tmp_path / "found")]
    environment = {"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "2"}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    results = json.loads(next((tmp_path / "found").rglob("results_*.json")).read_text())["results"]
    assert results["toy_facts"]["acc,none"] >= 0.9
    assert results["toy_recall_selection"]["exact_match,trimmed"] >= 0.9
