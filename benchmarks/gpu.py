"""What one detoxification cell costs on a GPU: hidden states, ranking, edit, restore, generation, memory.

    python benchmarks/gpu.py [--small] [--device cuda] [--texts 5000] [--prompts 1199] [--rounds 3] [--memory 29]

A random LLaMA with the shape of LLaMA2-7B, in bf16. Rates are told beside the card's own rate for one large bf16 matrix
product, measured in the same run. Goals are the paper's figures on an A100, by a wide margin: below 29.6 GB for all of
it, and below 0.5 h for what comes before the measurements. `--small` is a model of a few layers and few texts, to try
the benchmark itself, also with `--device cpu`. `--memory` is all that may be taken of the card, in GB; batches are
found by the memory that the card says it has, and halved where they don't fit.
"""

import argparse
import datetime
import random
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from evaluation.generation import Generation, generate
from surgery import Edit, Probe, collect_hidden_states, fit_probe, rank_rows
from surgery.model.fingerprints import fingerprint

PAPER_GB, PAPER_HOURS = 29.6, 0.5
NEW_TOKENS, PROMPT_WORDS, LONGEST = 20, 20, 100


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; those of LLaMA2-7B unless told otherwise."""

    width: int = 4096
    inner: int = 11_008
    layers: int = 32
    heads: int = 32
    words: int = 32_000
    rows: int = 16_384

    def config(self) -> LlamaConfig:
        return LlamaConfig(
            vocab_size=self.words,
            hidden_size=self.width,
            intermediate_size=self.inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            max_position_embeddings=4096,
            pad_token_id=0,
            bos_token_id=1,
            # No word ends a continuation, so that all are of the same length.
            eos_token_id=None,
        )


SMALL = Shape(width=128, inner=344, layers=4, heads=4, words=2000, rows=64)


def make_model(shape: Shape, device: str) -> LlamaForCausalLM:
    """Random weights of the usual size, made where they are used."""
    torch.manual_seed(0)
    with torch.device(device):
        torch.set_default_dtype(torch.bfloat16)
        try:
            model = LlamaForCausalLM(shape.config())
        finally:
            torch.set_default_dtype(torch.float32)
    model.eval().requires_grad_(False)
    return model


def make_tokenizer(words: int) -> PreTrainedTokenizerFast:
    vocabulary = {"<pad>": 0, "<s>": 1, **{f"w{i}": i for i in range(2, words)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>")


def make_texts(count: int, words: int, length: int | None = None) -> list[str]:
    """Texts of log-normal length (median 40 words), as comments are, or all of one length."""
    chance = random.Random(0)
    lengths = [length or min(LONGEST, max(1, round(chance.lognormvariate(3.7, 0.7)))) for _ in range(count)]
    return [" ".join(f"w{chance.randrange(2, words)}" for _ in range(one)) for one in lengths]


def seconds(function: Callable[[], object], device: str) -> float:
    """Until all that was started on the device is done."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    wait()
    start = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - start


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


def tell(name: str, value: str, note: str = "") -> None:
    print(f"| {name} | {value} | {note} |", flush=True)


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


def measure_cell(shape: Shape, texts: int, prompts: int, device: str, rounds: int, rate: float) -> None:
    """Tells of each part of a cell; `rate` is the card's, in operations a second."""
    model, tokenizer = make_model(shape, device), make_tokenizer(shape.words)
    # One product and one sum a weight and token; the embedding is looked up, and hidden states need no lm_head.
    weights = sum(parameter.numel() for parameter in model.model.layers.parameters())
    first = seconds(partial(fingerprint, model), device)
    again = statistics.median(seconds(partial(fingerprint, model), device) for _ in range(rounds))
    tell("knowing the model by every value", f"{again:.2f} s", f"{first:.1f} s the first time")
    behavior = make_texts(texts, shape.words)
    tokens = sum(len(text.split()) for text in behavior)
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


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="What one detoxification cell costs on a GPU.")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a small model and few texts, to try the benchmark")
    parser.add_argument("--texts", type=int, help="behavior texts (default: 5000)")
    parser.add_argument("--prompts", type=int, help="prompts to continue (default: 1199)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=float, help="GB of the card that may be used (default: all)")
    asked = parser.parse_args()
    on_gpu = asked.device.startswith("cuda")
    if on_gpu and not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.py: no CUDA device is here; --device cpu --small tries the benchmark without one")
    shape, texts, prompts, square = (SMALL, 64, 16, 512) if asked.small else (Shape(), 5000, 1199, 8192)
    card = torch.cuda.get_device_name() if on_gpu else "CPU"
    print(f"{card}, torch {torch.__version__}, {datetime.date.today()}: {shlex.join(sys.argv)}")
    print("\n| | measured | |\n|---|---|---|")
    rate = matrix_rate(asked.device, square, asked.rounds)
    tell("bf16 product of two square matrices", f"{rate / 1e12:.3g} TFLOP/s", "what the share below is of")
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
    measure_cell(shape, asked.texts or texts, asked.prompts or prompts, asked.device, asked.rounds, rate)
    if on_gpu:
        peak = torch.cuda.max_memory_allocated() / 1e9
        tell("most memory of all this", f"{peak:.1f} GB", f"the paper's, on an A100: {PAPER_GB} GB")


if __name__ == "__main__":
    main()
