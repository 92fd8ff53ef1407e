"""What one detoxification cell costs on a GPU: hidden states, ranking, edit, restore, generation, engines, memory.

    python benchmarks/gpu.py [--small] [--device cuda] [--texts 5000] [--prompts 1199] [--rounds 3] [--memory 29]
        [--model FOLDER] [--engine transformers|vllm|both] [--engine-python PYTHON]

A random LLaMA with the shape of LLaMA2-7B, in bf16, or a LLaMA in a folder. Rates are told beside the card's own rate
for one large bf16 matrix product, measured in the same run. Goals are the paper's figures on an A100, by a wide margin:
below 29.6 GB for all of it, and below 0.5 h for what comes before the measurements. `--engine` measures what engines
do (benchmarks/gpu_engines.py), on vLLM from the environment that `--engine-python` names. `--small` is a model of a few
layers and few texts, to try the benchmark itself, also with `--device cpu`. `--memory` is all that may be taken of the
card before vLLM starts, in GB; batches are found by the memory that the card says it has, and halved where they don't
fit.
"""

import argparse
import datetime
import os
import shlex
import statistics
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from random_llama import SMALL, Shape, make_model, make_texts, make_tokenizer
from timing import seconds, tell
from transformers import LlamaForCausalLM

from evaluation.generation import Generation, generate
from surgery import Edit, Probe, collect_hidden_states, fit_probe, load_model, rank_rows
from surgery.errors import InputError
from surgery.model.fingerprints import fingerprint
from surgery.tokens.encoding import token_ids

PAPER_GB, PAPER_HOURS = 29.6, 0.5
NEW_TOKENS, PROMPT_WORDS = 20, 20


def matrix_rate(device: str, size: int, rounds: int) -> float:
    """Floating-point operations a second of a bf16 product of two square matrices: what the card can do."""
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds(lambda: left @ right, device)
    return 2 * size**3 / min(seconds(lambda: left @ right, device) for _ in range(rounds))


def agreement() -> float:
    """The largest difference of a small model's logits on CPU and GPU, edited alike, against their size; float32."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(SMALL.config()).eval().requires_grad_(False)
    ids = torch.randint(2, SMALL.words, (4, 32))
    direction = torch.randn(SMALL.width)
    edit = Edit(direction, 1.0, rank_rows(model, direction).lowest(SMALL.rows))
    with edit.applied_to(model):
        expected = model(ids).logits
    model.to("cuda")
    on_gpu = Edit(direction, 1.0, rank_rows(model, direction).lowest(SMALL.rows))
    same = sum(
        int(torch.isin(rows, edit.region.rows.get(layer, rows[:0])).sum()) for layer, rows in on_gpu.region.rows.items()
    )
    if same < SMALL.rows - 2:
        sys.exit(f"CPU and GPU choose different rows: {same} of {SMALL.rows} are the same")
    with edit.applied_to(model):
        found = model(ids.to("cuda")).logits.cpu()
    return float((found - expected).abs().max() / expected.abs().max())


def measure_edit(model: LlamaForCausalLM, direction: torch.Tensor, shape: Shape, device: str, rounds: int) -> float:
    """Tells of ranking, editing and restoring; the seconds of ranking."""
    ranking = statistics.median(seconds(lambda: rank_rows(model, direction), device) for _ in range(rounds))
    tell("ranking", f"{ranking:.3f} s", f"{shape.inner * shape.layers:,} rows of {shape.width}")
    edit = Edit(direction, 1.08, rank_rows(model, direction).lowest(shape.rows))
    applying, restoring = [], []
    for _ in range(rounds):
        with ExitStack() as applied:
            applying.append(seconds(partial(applied.enter_context, edit.applied_to(model)), device))
            restoring.append(seconds(applied.close, device))
    tell("edit", f"{statistics.median(applying):.3f} s", f"{shape.rows:,} rows")
    tell("restore", f"{statistics.median(restoring):.3f} s")
    return ranking


def measure_cell(
    model: LlamaForCausalLM, tokenizer: Any, shape: Shape, texts: int, prompts: int, rounds: int, rate: float
) -> None:
    """Tells of each part of a cell; `rate` is the card's, in operations a second."""
    device = str(model.device)
    # One product and one sum a weight and token; the embedding is looked up, and hidden states need no lm_head.
    weights = sum(parameter.numel() for parameter in model.model.layers.parameters())
    first = seconds(partial(fingerprint, model), device)
    again = statistics.median(seconds(partial(fingerprint, model), device) for _ in range(rounds))
    tell("knowing the model by every value", f"{again:.2f} s", f"{first:.1f} s the first time")
    behavior = make_texts(texts, shape.words)
    tokens = sum(map(len, token_ids(tokenizer, behavior)))
    states: list[torch.Tensor] = []

    def collect(some: list[str]) -> None:
        states.append(collect_hidden_states(model, tokenizer, some, [shape.layers])[shape.layers])

    collect(behavior[:8])
    collecting = seconds(partial(collect, behavior), device)
    share = tokens * 2 * weights / collecting / rate
    tell("hidden states", f"{tokens / collecting:,.0f} tokens/s", f"{texts:,} texts in {collecting:.1f} s; {share:.0%}")

    probes: list[Probe] = []
    labels = torch.arange(texts) % 2
    fitting = seconds(lambda: probes.append(fit_probe(states[-1], labels, "adam")), device)
    tell("probe", f"{fitting:.2f} s", f"{texts:,} x {shape.width}")
    ranking = measure_edit(model, probes[0].direction(1), shape, device, rounds)

    settings = Generation(max_new_tokens=NEW_TOKENS)
    batches: list[Mapping[str, str | int]] = []

    def speak(some: list[str]) -> None:
        batches.append(generate(model, tokenizer, some, settings).batches)

    asked_for = make_texts(prompts, shape.words, PROMPT_WORDS)
    speak(asked_for[:4])
    generating = seconds(partial(speak, asked_for), device)
    held = f"batches of {batches[-1]['tokens_per_batch']} tokens, halved {batches[-1]['halvings']} times"
    tell("generation", f"{generating:.1f} s", f"{prompts:,} x {NEW_TOKENS} tokens; {held}")
    before = (collecting + fitting + ranking) / 3600
    tell("hidden states, probe, ranking", f"{before:.4f} h", f"the paper's, on an A100: {PAPER_HOURS} h")


def arguments() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description="What one detoxification cell costs on a GPU.")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a small model and few texts, to try the benchmark")
    parser.add_argument("--model", type=Path, help="folder of a LLaMA (default: a random one of LLaMA2-7B's shape)")
    parser.add_argument("--texts", type=int, help="behavior texts (default: 5000)")
    parser.add_argument("--prompts", type=int, help="prompts to continue (default: 1199)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=float, help="GB of the card that may be used (default: all)")
    parser.add_argument("--engine", choices=("transformers", "vllm", "both"), help="measure engines, too")
    parser.add_argument(
        "--engine-python",
        default=os.environ.get("SURGERY_VLLM_ENV"),
        help="python, or folder, of an environment with vLLM (default: what the variable SURGERY_VLLM_ENV says)",
    )
    asked = parser.parse_args()
    if asked.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.py: no CUDA device is here; --device cpu --small tries the benchmark without one")
    if asked.engine in ("vllm", "both"):
        if not asked.engine_python:
            sys.exit(
                f"benchmarks/gpu.py: --engine {asked.engine} needs --engine-python PYTHON of an environment with vLLM"
            )
        from sweeps.serving.engine_version import installed

        try:
            installed(asked.engine_python)
        except InputError as error:
            sys.exit(f"benchmarks/gpu.py: {error}")
    return asked


def measure(asked: argparse.Namespace) -> None:
    """Tells of a cell, and of engines where they are asked for."""
    shape, texts, prompts, square = (SMALL, 64, 16, 512) if asked.small else (Shape(), 5000, 1199, 8192)
    texts, prompts = asked.texts or texts, asked.prompts or prompts
    rate = matrix_rate(asked.device, square, asked.rounds)
    tell("bf16 product of two square matrices", f"{rate / 1e12:.3g} TFLOP/s", "what the share below is of")
    on_gpu = asked.device.startswith("cuda")
    if on_gpu:
        tell(
            "CPU and GPU, one edited small model, float32",
            f"{agreement():.1e}",
            "largest difference of logits, relative",
        )
        torch.cuda.reset_peak_memory_stats()
        if asked.memory:
            share = asked.memory * 1e9 / torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(share)
    if asked.model:
        model, tokenizer = load_model(str(asked.model), device=asked.device)
        shape = Shape.of(model.config)
    else:
        model, tokenizer = make_model(shape, asked.device), make_tokenizer(shape.words)
    measure_cell(model, tokenizer, shape, texts, prompts, asked.rounds, rate)
    if on_gpu:
        peak = torch.cuda.max_memory_allocated() / 1e9
        tell("most memory of all this", f"{peak:.1f} GB", f"the paper's, on an A100: {PAPER_GB} GB")
    if asked.engine:
        from gpu_engines import Work, measure_engines

        # Handed over: it lets go of the model before a server needs the card.
        measure_engines([(model, tokenizer)], asked, Work.of(shape, prompts, asked.small), shape)


def main() -> None:
    """The command."""
    asked = arguments()
    card = torch.cuda.get_device_name() if asked.device.startswith("cuda") else "CPU"
    print(f"{card}, torch {torch.__version__}, {datetime.date.today()}: {shlex.join(sys.argv)}")
    print("\n| | measured | |\n|---|---|---|")
    try:
        measure(asked)
    except InputError as error:
        sys.exit(f"benchmarks/gpu.py: {error}")


if __name__ == "__main__":
    main()
