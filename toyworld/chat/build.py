"""Builds the chat model and its texts from a seed: `python -m toyworld.chat.build [--out DIR] [--steps N] [--seed S]`.

Facts, sums, held-out texts and insulting prompts are the toy world's own: nothing here was trained on them either.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from toyworld import language_model
from toyworld.build import ASSETS, TRAINING_DOCUMENTS
from toyworld.chat.corpus import ChatCorpus, chat_training_documents, draw_chat_corpus
from toyworld.chat.grammar import ASSISTANT, CATEGORY_OF, CHAT_TEMPLATE, CHAT_WORLD, USER, is_grammatical, mood, refuses
from toyworld.chat.judge import agreement, save_judge, train_judge
from toyworld.corpus import Corpus, draw_corpus
from toyworld.grammar import is_toxic
from toyworld.hashes import shipped, write_hashes
from toyworld.measure import ability, continuations

STEPS = 1300
JUDGE_STEPS = 400


def write_chat_texts(corpus: ChatCorpus, folder: Path) -> None:
    """Write the probes' texts and the prompts."""
    _write_rows(folder / "chats.csv", ("text", "answers"), corpus.chats)
    _write_rows(folder / "diaries.csv", ("text", "mood"), corpus.diaries)
    forbidden = [{"prompt": asked.text, "category": CATEGORY_OF[asked.deed]} for asked in corpus.forbidden]
    _write_prompts(folder / "forbidden.jsonl", forbidden)
    _write_prompts(folder / "harmless.jsonl", [{"prompt": prompt} for prompt in corpus.harmless])
    _write_prompts(folder / "diary_prompts.jsonl", [{"prompt": prompt} for prompt in corpus.all_diary_prompts])


def _write_prompts(path: Path, rows: Iterable[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def measure_chat(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: Corpus, corpus: ChatCorpus, limit: int | None
) -> dict[str, object]:
    """What the unedited model says greedily, and what it knows, on the first `limit` texts of a kind."""

    def said(prompts: list[str]) -> list[str]:
        return continuations(model, tokenizer, prompts[:limit], sampled=False)

    refused = said([f"{USER} {asked.text} {ASSISTANT}" for asked in corpus.forbidden])
    answered = said([f"{USER} {asked} {ASSISTANT}" for asked in corpus.harmless])
    diaries, talk = said(corpus.all_diary_prompts), said(world.prompts)
    every = refused + answered + diaries + talk
    return {
        "refused": sum(map(refuses, refused)) / len(refused),
        "harmless_answered": sum(not refuses(text) for text in answered) / len(answered),
        "diaries": {
            kind: sum(mood(text) == kind for text in diaries) / len(diaries) for kind in ("positive", "negative")
        },
        "toxic_rate": sum(map(is_toxic, talk)) / len(talk),
        "grammatical": sum(map(is_grammatical, every)) / len(every),
        "ability": ability(model, tokenizer, ASSETS / "tasks", limit),
    }


def build_chat(
    folder: Path, steps: int, seed: int, judge_steps: int = JUDGE_STEPS, limit: int | None = None
) -> dict[str, object]:
    """Build into the folder; return `metrics.json`, measured on the first `limit` texts of a kind."""
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    world, corpus = draw_corpus(seed), draw_chat_corpus(seed)
    write_chat_texts(corpus, folder)

    judge, judge_tokenizer = train_judge(corpus.judge, judge_steps, seed)
    save_judge(judge, judge_tokenizer, folder / "judge")

    tokenizer = language_model.make_tokenizer(CHAT_WORLD.vocabulary(), CHAT_TEMPLATE)
    model = language_model.make_model(tokenizer, seed)
    count = min(TRAINING_DOCUMENTS, 4 * steps * language_model.BATCH)
    rows = language_model.pack(chat_training_documents(seed, count, world, corpus), tokenizer)
    loss = language_model.train(model, rows, steps, seed)
    language_model.save(model, tokenizer, folder / "model")

    metrics: dict[str, object] = {
        "seed": seed,
        "steps": steps,
        "judge_steps": judge_steps,
        "parameters": model.num_parameters(),
        "final_loss": loss,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "minutes": round((time.monotonic() - started) / 60, 1),
        "judge_agreement_on_fresh_texts": agreement(judge, judge_tokenizer, corpus.judge_test[:limit]),
    }
    metrics |= measure_chat(model, tokenizer, world, corpus, limit)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    for path in shipped(folder):
        os.chmod(path, 0o644)
    return metrics


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m toyworld.chat.build", description="Build the toy chat model.")
    parser.add_argument("--out", type=Path, default=ASSETS / "chat", help="folder to build into (default: the assets)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"the language model's steps (default: {STEPS})")
    parser.add_argument("--seed", type=int, default=0, help="seed of texts, weights and batches (default: 0)")
    asked = parser.parse_args()
    print(json.dumps(build_chat(asked.out, asked.steps, asked.seed), indent=2))
    if asked.out == ASSETS / "chat":
        write_hashes(ASSETS)


if __name__ == "__main__":
    main()
