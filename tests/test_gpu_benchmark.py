"""The GPU benchmark, in miniature: each part of a cell is measured by the code that measures it on a card."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
ENGINE_PARTS = ("short continuations", "answers of uneven length", "reading", "16 edits one after another")
PARTS = ("bf16 product", "hidden states", "probe", "ranking", "edit", "restore", "generation")


def benchmark(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "benchmarks/gpu.py", *arguments]
    # As typed in a shell: commands that tests run in this process set the safe path for their workers.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": ""}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.slow
def test_each_part_of_a_cell_is_measured() -> None:
    ran = benchmark("--small", "--device", "cpu", "--engine", "transformers", "--prompts", "4")
    assert ran.returncode == 0, ran.stderr
    rows = [line for line in ran.stdout.splitlines() if line.startswith("| ")]
    for part in (*PARTS, *(f"transformers: {part}" for part in ENGINE_PARTS)):
        [row] = [row for row in rows if re.match(rf"\| {part}( of [a-z ]+)? \|", row)]
        assert re.search(r"\d", row.split("|")[2])
    assert "1,376 rows of 128" in ran.stdout
    assert "64 rows" in ran.stdout
    [answers] = re.findall(r"(\d+) tokens answered, (\d+) to (\d+) each", ran.stdout)
    total, least, most = map(int, answers)
    assert least < most <= 16 and total < 8 * 16, "answers are of uneven length"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--engine", "vllm"), "--engine vllm needs --engine-python PYTHON of an environment with vLLM"),
        (("--engine", "vllm", "--engine-python", sys.executable), "has no vLLM"),
    ],
)
@pytest.mark.slow
def test_an_engine_without_an_environment_is_refused_before_anything_is_measured(arguments, said, monkeypatch) -> None:
    monkeypatch.delenv("SURGERY_VLLM_ENV", raising=False)
    ran = benchmark("--small", "--device", "cpu", *arguments)
    assert ran.returncode == 1
    assert said in ran.stderr and not ran.stdout and len(ran.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is missing only where it is missing")
@pytest.mark.slow
def test_without_a_card_it_says_so_in_one_line() -> None:
    ran = benchmark()
    assert ran.returncode == 1
    assert ran.stderr.strip() == (
        "benchmarks/gpu.py: no CUDA device is here; --device cpu --small tries the benchmark without one"
    )
