"""How long 100 continuations of 20 tokens take on a real model, against a bare loop of forward passes with a cache.

    python benchmarks/generation.py MODEL PROMPTS.txt [--dtypes bfloat16 float32] [--prompts 100] [--rounds 3]

MODEL is a folder, PROMPTS a text a line. `evaluation.generation.generate` is set against what it can't do without: the
same batches of token ids, padded beforehand, through the model with its cache, the head at the last position alone, and
the likeliest token. They take turns in one process; told are the medians of the rounds' ratios, of seconds and of the
seconds that the processor's cores worked, which what else runs disturbs less. Goal: at most 1.15.
"""

import argparse
import datetime
import os
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

from timing import timed

NEW = 20


def bare_loop(model: Any, batches: list[tuple[Any, Any]]) -> list[Any]:
    """Greedy tokens [b, NEW] of each batch; (ids, mask) [b, t] are padded on the left."""
    import torch
    from transformers import DynamicCache

    made = []
    with torch.inference_mode():
        for ids, mask in batches:
            cache, step, seen, new = DynamicCache(config=model.config), ids, mask, []
            places = (mask.cumsum(-1) - 1).clamp(min=0)
            for _ in range(NEW):
                logits = model(
                    input_ids=step,
                    attention_mask=seen,
                    position_ids=places,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                ).logits
                step = logits[:, -1].argmax(-1, keepdim=True)
                new.append(step)
                places = places[:, -1:] + 1
                seen = torch.cat([seen, seen.new_ones(len(seen), 1)], dim=1)
            made.append(torch.cat(new, dim=1))
    return made


def measure(dtype: str, given: argparse.Namespace) -> None:
    """Prints one line for a dtype."""
    from evaluation.generation import Generation, generate
    from evaluation.inputs.model_input import padded
    from surgery import load_model
    from surgery.states.batch_budget import BatchBudget
    from surgery.states.batching import token_budget_batches
    from surgery.tokens.encoding import padding_id, start_id, token_ids

    model, tokenizer = load_model(str(given.model), dtype=dtype, device="cpu")
    # No prompt may end early: then both sides make the same number of steps.
    model.generation_config.eos_token_id = None
    tokenizer.eos_token = None
    prompts = [line for line in given.texts.read_text(encoding="utf-8").splitlines() if line.strip()][: given.prompts]
    settings = Generation(max_new_tokens=NEW)
    rows = [ids or [start_id(model, tokenizer)] for ids in token_ids(tokenizer, prompts)]
    budget = BatchBudget.of(model, "generation").tokens
    pad = padding_id(model, tokenizer)
    packed = token_budget_batches([len(ids) + NEW for ids in rows], budget)
    inputs = [padded(model, [rows[i] for i in batch], "left", pad) for batch in packed]
    batches = [(one["input_ids"], one["attention_mask"]) for one in inputs]

    def ours() -> Any:
        return generate(model, tokenizer, prompts, settings)

    def bare() -> Any:
        return bare_loop(model, batches)

    # Untimed, as what is made at first use belongs to neither.
    expected, found = bare(), ours()
    order = [i for batch in packed for i in batch]
    texts = [text for batch in expected for text in tokenizer.batch_decode(batch, skip_special_tokens=True)]
    same = sum(found.texts[i] == text for i, text in zip(order, texts, strict=True))
    rounds = []
    for number in range(given.rounds):
        # Who goes first takes turns, too.
        one, other = (ours, bare) if number % 2 else (bare, ours)
        times = {side: timed(side) for side in (one, other)}
        rounds.append((*times[ours], *times[bare]))
    mine, worked, theirs, needed = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"{dtype:9} {len(prompts)} prompts x {NEW} tokens in {len(batches)} batches: {mine:.2f} s against "
        f"{theirs:.2f} s: {statistics.median(row[0] / row[2] for row in rounds):.2f}; the cores worked {worked:.2f} s "
        f"against {needed:.2f} s: {statistics.median(row[1] / row[3] for row in rounds):.2f} (goal: at most 1.15); "
        f"{same} of {len(prompts)} texts the same",
        flush=True,
    )


def main() -> None:
    """Prints a line for each dtype."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": str(given.threads), "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    import torch

    from sweeps.terminal.library_output import quiet_libraries

    quiet_libraries()
    torch.set_num_threads(given.threads)
    print(
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"{given.threads} threads, {given.model.name}"
    )
    for dtype in given.dtypes:
        measure(dtype, given)


if __name__ == "__main__":
    sys.exit(main())
