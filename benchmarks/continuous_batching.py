"""How long uneven answers take by continuous batching, against batches that are padded, on a real model.

    python benchmarks/continuous_batching.py MODEL QUESTIONS.jsonl [--shots 0 5] [--questions 64] [--new 256]

MODEL is a folder or a GGUF file (`python -m validation.fetch smollm2-135m` fetches one), QUESTIONS GSM8K's in the
columns `question` and `answer`; the last of them are the examples of the others, where there are examples. Both sides
answer the same token ids greedily, up to the text `Question:` as lm-eval's task has it. Told are the ratio of seconds
and of the seconds that the processor's cores worked, in one run, and how many answers have the same tokens. Goal: 99 of
100.
"""

import argparse
import datetime
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from timing import timed


def prompts_of(path: Path, questions: int, shots: int) -> list[str]:
    """The first questions, each after the same examples."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    examples = [f"Question: {row['question']}\nAnswer: {row['answer']}\n\n" for row in rows[len(rows) - shots :]]
    return ["".join(examples) + f"Question: {row['question']}\nAnswer:" for row in rows[:questions]]


def measure(model: Any, tokenizer: Any, prompts: list[str], shots: int, new: int) -> None:
    """Prints one line."""
    from evaluation.engines.engine import answered_by
    from evaluation.engines.in_memory_continuous import InMemoryContinuous
    from evaluation.generation import Generation, generate

    settings = Generation(max_new_tokens=new, stop=["Question:"])
    found: dict[str, Any] = {}

    def static() -> None:
        found["static"] = generate(model, tokenizer, prompts, settings)

    def continuous() -> None:
        with answered_by(model, InMemoryContinuous(model, tokenizer)):
            found["continuous"] = generate(model, tokenizer, prompts, settings)

    ours, worked = timed(continuous)
    theirs, needed = timed(static)
    pairs = list(zip(found["continuous"].ids, found["static"].ids, strict=True))
    texts = zip(found["continuous"].texts, found["static"].texts, strict=True)
    # After a stop text static batching goes on, by tokens that depend on the rest of the batch.
    same = sum(a[: len(b)] == b[: len(a)] and one == other for (a, b), (one, other) in zip(pairs, texts, strict=True))
    lengths = sorted(len(ids) for ids, _ in pairs)
    print(
        f"{len(prompts)} questions after {shots} examples, answers of {lengths[0]} to {lengths[-1]} tokens, "
        f"{sum(lengths) / len(lengths):.0f} on average: {ours:.1f} s against {theirs:.1f} s padded: "
        f"{ours / theirs:.2f}; "
        f"the cores worked {worked:.1f} s against {needed:.1f} s: {worked / needed:.2f}; "
        f"{same} of {len(prompts)} answers the same",
        flush=True,
    )


def main() -> None:
    """Prints a line for each number of examples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("questions_file", type=Path, metavar="QUESTIONS.jsonl")
    parser.add_argument("--shots", type=int, nargs="+", default=[0, 5])
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--new", type=int, default=256)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": str(given.threads), "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    import torch

    from surgery import load_model
    from sweeps.terminal.library_output import quiet_libraries

    quiet_libraries()
    torch.set_num_threads(given.threads)
    model, tokenizer = load_model(str(given.model), dtype=given.dtype, device=given.device)
    print(
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch "
        f"{torch.__version__}, {given.threads} threads, {given.device}, {given.dtype}, {given.model.name}",
        flush=True,
    )
    for shots in given.shots:
        measure(model, tokenizer, prompts_of(given.questions_file, given.questions, shots), shots, given.new)


if __name__ == "__main__":
    sys.exit(main())
