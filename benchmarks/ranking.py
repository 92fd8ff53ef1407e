"""How long ranking, applying and restoring take, against reading and copying the same bytes; and how much memory.

    python benchmarks/ranking.py [--layers 32] [--rows 16384] [--rounds 5] [--threads 2]

A random Llama with the gate matrices of LLaMA2-7B (11,008 x 4,096 each, bfloat16) and hardly any attention. Ranking is
set against one bfloat16 matrix-vector product over the same matrices, applying and restoring against `clone` of the
rows that are edited; each pair in turn, so that what else runs on the machine meets both. Goals: 3 times each, and at
most 64 MiB beside the cosines and the saved rows.
"""

import argparse
import datetime
import os
import platform
import statistics
import time

import torch
from timing import timed
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from surgery import Edit, rank_rows

WIDTH, INNER = 4096, 11_008


def make_model(layers: int) -> PreTrainedModel:
    """Only its gates are filled: nothing else is read but a few numbers of each tensor."""
    config = LlamaConfig(
        vocab_size=8,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=layers,
        num_attention_heads=1,
        head_dim=8,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.to_empty(device="cpu")
    torch.manual_seed(0)
    block = torch.randn(INNER, WIDTH).bfloat16()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "gate_proj" in name:
                parameter.copy_(block.roll(parameter.data_ptr() % 997, 0))
    return model


def megabytes(what: str) -> float:
    """`VmRSS` now or `VmHWM` at most, of this process."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(what)) / 1024


def forget_peak() -> float:
    """Starts to measure the peak anew; the memory that is held now."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return megabytes("VmRSS")


def tell(name: str, pairs: list[tuple[float, float]], goal: float) -> None:
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{name:30} {ours:8.3f} s against {theirs:8.3f} s: {ratio:6.2f} (goal: at most {goal:g})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--rows", type=int, default=16_384)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    model = make_model(options.layers)
    gates = [parameter for name, parameter in model.named_parameters() if "gate_proj" in name]
    direction = torch.randn(WIDTH)
    lone, direction16 = torch.randn(WIDTH), direction.bfloat16()
    ranking = rank_rows(model, direction)
    edit = Edit(direction, 0.5, ranking.lowest(options.rows))
    saved = torch.empty(options.rows, WIDTH, dtype=torch.bfloat16).normal_()
    times: dict[str, list[tuple[float, float]]] = {"ranking": [], "float32": [], "apply": [], "restore": []}
    for _ in range(options.rounds):
        one_pass, _ = timed(lambda: [gate @ direction16 for gate in gates])
        times["ranking"].append((timed(lambda: rank_rows(model, direction))[0], one_pass))
        times["float32"].append((timed(lambda: [gate.float() @ lone for gate in gates])[0], one_pass))
        copied, _ = timed(saved.clone)
        start = time.perf_counter()
        with edit.applied_to(model):
            applied = time.perf_counter()
        end = time.perf_counter()
        times["apply"].append((applied - start, copied))
        times["restore"].append((end - applied, copied))
    held = forget_peak()
    rank_rows(model, direction)
    ranked = megabytes("VmHWM") - held
    held = forget_peak()
    with edit.applied_to(model):
        pass
    edited = megabytes("VmHWM") - held
    rows = options.layers * INNER
    print(
        f"{datetime.date.today()}, {platform.platform()}, {os.cpu_count()} cores, {options.threads} threads, ", end=""
    )
    print(f"torch {torch.__version__}")
    print(f"{rows} rows of {WIDTH}, bfloat16, {rows * WIDTH * 2 / 1e9:.2f} GB; {options.rows} of them edited")
    tell("ranking", times["ranking"], 3)
    tell("(float32 copy and product)", times["float32"], float("inf"))
    tell("apply", times["apply"], 3)
    tell("restore", times["restore"], 3)
    print(
        f"memory beside the model: ranking {ranked:.0f} MB, of which cosines and order {rows * 36 / 2**20:.0f} MB; ",
        end="",
    )
    print(f"apply {edited:.0f} MB, of which saved rows {options.rows * WIDTH * 2 / 2**20:.0f} MB (goal: 64 MB more)")


if __name__ == "__main__":
    main()
