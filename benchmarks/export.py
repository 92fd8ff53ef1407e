"""How long an edited checkpoint takes to write, against `cp -r` of the same files, and how much memory.

    python benchmarks/export.py [--gigabytes 1] [--rounds 3] [--folder DIR]

Makes a random sharded Llama in bfloat16 in a temporary folder, reads it once so that caches are warm, and then
copies it and exports it in turn. SHA-256 alone takes longer than a copy that ends in the page cache, so it is timed
too, and each way is timed until the call returns and until all of it is on the disk. The goal is a median ratio of at
most 1.3, and at most 1 GiB of memory (or four times the largest tensor) on top of the libraries.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from surgery import Edit, rank_rows
from surgery.files.temporary_folder import TemporaryFolder
from surgery.files.whole_files import sha256_of_file

WIDTH, INNER = 2048, 8192
# A fresh process; tensors of the base that were looked at count too, as pages of its files.
PEAK = """
import json, sys
from surgery import Edit
import surgery.export.checkpoint, transformers.models.llama.modeling_llama
def peak():  # of this process alone; what getrusage tells is inherited from the parent
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
Edit.load(sys.argv[1]).save_checkpoint(sys.argv[2], sys.argv[3], verify=sys.argv[4] == "verify")
print(json.dumps([before, peak()]))
"""


def make_base(folder: Path, gigabytes: float) -> Edit:
    """Saves a random model and gives an edit of a tenth of its gate rows."""
    layers = max(1, round(gigabytes * 1e9 / (2 * (3 * WIDTH * INNER + 4 * WIDTH * WIDTH))))
    config = LlamaConfig(
        vocab_size=1000,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=layers,
        num_attention_heads=16,
        dtype="bfloat16",
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="250MB")
    direction = torch.randn(WIDTH)
    return Edit(direction, 1.0, rank_rows(model, direction).lowest(layers * INNER // 10))


def seconds(write: Callable[[], object]) -> tuple[float, float]:
    """Until it returns, with what it wrote in the page cache; and until that is on the disk."""
    start = time.perf_counter()
    write()
    returned = time.perf_counter() - start
    os.sync()
    return returned, time.perf_counter() - start


def settled(target: Path) -> None:
    """Removes what was written and waits for the disk, so that no round pays for the one before."""
    shutil.rmtree(target)
    os.sync()


def peak_megabytes(edit: Path, base: Path, target: Path, how: str) -> tuple[float, float]:
    """Of a fresh process: with the libraries alone, and at its peak."""
    command = [sys.executable, "-P", "-c", PEAK, str(edit), str(base), str(target), how]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    settled(target)
    before, peak = json.loads(told.splitlines()[-1])
    return before / 1024, peak / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    options = parser.parse_args()
    with TemporaryFolder("export", options.folder) as temporary:
        base, target = temporary / "base", temporary / "target"
        edit = make_base(base, options.gigabytes)
        edit.save(temporary / "edit.safetensors")
        size = sum(file.stat().st_size for file in base.iterdir()) / 1e9
        shards = len(list(base.glob("*.safetensors")))
        os.sync()
        ways = {
            "cp": lambda: subprocess.run(["cp", "-r", str(base), str(target)], check=True),
            "export": lambda: edit.save_checkpoint(base, target),
        }
        times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for number in range(options.rounds + 1):
            for way, write in ways.items():
                taken = seconds(write)
                settled(target)
                if number:  # the first warms caches and imports
                    times[way].append(taken)
        hashing = seconds(lambda: [sha256_of_file(file) for file in base.glob("*.safetensors")])[0]
        peaks = {how: peak_megabytes(temporary / "edit.safetensors", base, target, how) for how in ("", "verify")}
    print(f"{datetime.date.today()}, {platform.platform()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"{size:.2f} GB in {shards} shards, {len(edit.region)} rows edited in {len(edit.region.layers)} layers")
    for column, what in enumerate(("until it returns (page cache)", "until it is on the disk")):
        pairs = [(cp[column], export[column]) for cp, export in zip(times["cp"], times["export"], strict=True)]
        print(f"{what}\nround   cp -r s   export s   ratio")
        for number, (copied, exported) in enumerate(pairs, start=1):
            print(f"{number:5}   {copied:7.2f}   {exported:8.2f}   {exported / copied:5.2f}")
        ratio = statistics.median(exported / copied for copied, exported in pairs)
        print(f"median ratio {ratio:.2f} (goal: at most 1.30)")
    print(f"SHA-256 of the weights alone, one thread: {hashing:.2f} s")
    for how, (before, peak) in peaks.items():
        print(
            f"peak memory{' with verify' if how else ''}: {peak:.0f} MB, {before:.0f} MB of it before the export began"
        )
    print(f"largest tensor {WIDTH * INNER * 2 / 2**20:.0f} MB")


if __name__ == "__main__":
    main()
