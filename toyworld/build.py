"""Builds the toy world from a seed: `python -m toyworld.build [--out DIR] [--steps N] [--seed S]`."""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from pathlib import Path

import torch

from toyworld import language_model, scorer
from toyworld.corpus import Corpus, draw_corpus, training_documents
from toyworld.grammar import vocabulary
from toyworld.hashes import shipped, write_hashes
from toyworld.measure import measure
from toyworld.task_files import write_tasks

ASSETS = Path(__file__).parent / "assets"
STEPS = 1000
SCORER_STEPS = 400
TRAINING_DOCUMENTS = 60_000


def write_texts(corpus: Corpus, folder: Path) -> None:
    """Write the probe texts, the prompts and the held-out texts."""
    with (folder / "probe.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("text", "label"))
        rows.writerows(corpus.probe)
    prompts = "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in corpus.prompts)
    (folder / "prompts.jsonl").write_text(prompts, encoding="utf-8")
    for name, texts in (("heldout", corpus.held_out), ("heldout_selection", corpus.held_out_selection)):
        (folder / f"{name}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")


def build(
    folder: Path, steps: int, seed: int, scorer_steps: int = SCORER_STEPS, limit: int | None = None
) -> dict[str, object]:
    """Build everything into the folder; return `metrics.json`, measured on the first `limit` texts of a kind."""
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    corpus = draw_corpus(seed)
    write_texts(corpus, folder)
    write_tasks(corpus.tasks, folder / "tasks")

    judge_tokenizer = scorer.make_tokenizer(vocabulary())
    judge = scorer.make_model(judge_tokenizer, seed)
    scorer.train(judge, judge_tokenizer, corpus.scorer, scorer_steps, seed)
    scorer.save(judge, judge_tokenizer, folder / "scorer")

    tokenizer = language_model.make_tokenizer(vocabulary())
    model = language_model.make_model(tokenizer, seed)
    # A short build reads few documents; a row holds three or four.
    documents = training_documents(seed, min(TRAINING_DOCUMENTS, 4 * steps * language_model.BATCH), corpus)
    rows = language_model.pack(documents, tokenizer)
    loss = language_model.train(model, rows, steps, seed)
    language_model.save(model, tokenizer, folder / "model")

    metrics: dict[str, object] = {
        "seed": seed,
        "steps": steps,
        "scorer_steps": scorer_steps,
        "parameters": model.num_parameters(),
        "final_loss": loss,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "minutes": round((time.monotonic() - started) / 60, 1),
    }
    metrics |= measure(model, tokenizer, judge, judge_tokenizer, corpus, folder / "tasks", limit)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    for path in shipped(folder):
        # safetensors writes for its owner alone; what is shipped must be readable by whoever installs it.
        os.chmod(path, 0o644)
    write_hashes(folder)
    return metrics


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m toyworld.build", description="Build the toy world from a seed.")
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder to build into (default: the shipped assets)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"the language model's steps (default: {STEPS})")
    parser.add_argument("--seed", type=int, default=0, help="seed of texts, weights and batches (default: 0)")
    asked = parser.parse_args()
    print(json.dumps(build(asked.out, asked.steps, asked.seed), indent=2))


if __name__ == "__main__":
    main()
