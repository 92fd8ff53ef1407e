"""What a sweep costs beside its forward passes, and beside the same cells done by a shell script.

    python benchmarks/sweep.py [--cells 24] [--limit 40] [--shell-cells 2] [--threads 2]
    python benchmarks/sweep.py --model FOLDER --prompts FILE --text FILE --texts FILE [--cells 4] [--limit 40]
        [--labelled 400] [--dtype auto]

The toy world, `tracking=none`. The calls of the models (generation, scorer, lm-eval's requests, perplexity) that one
cell makes are recorded and made again, bare, after each cell of the sweep: the ratio is the median over all cells but
the first, each divided by the bare calls right after it. Goal: at most 1.10. The same cells with `tracking=wandb`
(offline) tell what that adds.

The shell script takes a fresh process for the probe, one for the edited checkpoint and one for every evaluation, a
cell; its probe reads the texts again every epoch. It is run for the first `--shell-cells` cells and multiplied.
Goal: the sweep is at least 8 times faster.

With `--model` the cells are of that model, which continues the prompts, reads the text and has its probe fitted on the
labelled texts (columns `text` and `label`); the judge is the toy world's. Goal: at most 1.10 of the bare calls. The
median seconds of each stage are told; neither W&B nor the shell script is run.
"""

import argparse
import datetime
import os
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bare_calls import Times, calls_of_a_cell, run_all
from shell_script import shell_script
from sweep_plan import ALPHAS, SIZES, compose
from timing import timed

import toyworld
from surgery.files.temporary_folder import TemporaryFolder

# Of a real model: weak enough to leave it a language model.
REAL = ("alpha_unit=unit", "evaluation.choose.minimize=toxicity/toxic_rate")


def of_real_model(given: argparse.Namespace) -> list[str]:
    """What a command says for a real model; nothing for the toy world."""
    if given.model is None:
        return []
    judge = Path(toyworld.__file__).parent / "assets" / "scorer"
    return [
        *("model=local", f"model.path={given.model}", "behavior=tabular"),
        f"behavior.path={given.texts}",
        f"behavior.limit={given.labelled}",
        f"model.dtype={given.dtype}",
        "probe=mean_difference",
        f"evaluation.prompts={given.prompts}",
        f"evaluation.text={given.text}",
        f"evaluation.detoxify.checkpoint={judge}/checkpoint.ckpt",
        f"evaluation.detoxify.config={judge}/config",
        *REAL,
    ]


def measure_sweep(arguments: list[str], cells: int) -> tuple[list[Times], dict[str, float]]:
    """(times of each cell, median seconds of each stage of those after the first); cells run in this process."""
    import torch

    from sweeps.conduct.conductor import Conductor
    from sweeps.executors.in_process import InProcess
    from sweeps.records.record import Record
    from sweeps.terminal.cell_tables import console
    from sweeps.terminal.library_output import quiet_libraries
    from sweeps.terminal.progress import Progress

    quiet_libraries()
    plan = compose(arguments)
    plan.sweep_folder.mkdir(parents=True)
    executor = InProcess()
    conductor = Conductor(plan.sweep_folder, executor, Progress(console(stderr=True), cells), {})
    executor.submit(plan, [])
    conductor.submit(type(plan)(**{**plan.__dict__, "experiments": plan.experiments[:cells]}))
    times: list[Times] = []
    calls: list[Callable[[], Any]] = []
    while conductor.open:
        took = Times(*timed(conductor.wait))
        if not calls:
            calls = calls_of_a_cell(plan, executor)
        with torch.inference_mode():
            took.bare, took.bare_worked = timed(partial(run_all, calls))
        times.append(took)
    conductor.close()
    records = [Record.load(plan.sweep_folder / one.cell.id) for one in plan.experiments[1:cells]]
    stages = {stage: median(record.seconds.get(stage, 0.0) for record in records) for stage in records[0].seconds}
    return times, stages


def told(times: list[Times]) -> str:
    """The ratios of cells after the first, each against the bare calls right after it."""
    later = times[1:]
    return (
        f"{median(one.cell for one in later):.2f} s; bare calls {median(one.bare for one in later):.2f} s; ratio "
        f"{median(one.cell / one.bare for one in later):.2f}; by the work of the cores "
        f"{median(one.cell_worked / one.bare_worked for one in later):.2f} (goal 1.10); "
        f"first cell {times[0].cell:.1f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=len(ALPHAS) * len(SIZES))
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--shell-cells", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", type=Path, help="a folder; --prompts, --text and --texts go with it")
    for option in ("--prompts", "--text", "--texts"):
        parser.add_argument(option, type=Path)
    parser.add_argument("--dtype", default="auto", help="of a real model")
    parser.add_argument("--labelled", type=int, default=400, help="labelled texts of a real model's probe at most")
    given = parser.parse_args()
    if given.model is not None and None in (given.prompts, given.text, given.texts):
        parser.error("--model needs --prompts, --text and --texts")
    os.environ |= {"OMP_NUM_THREADS": str(given.threads), "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    os.environ["WANDB_MODE"] = "offline"
    import torch

    torch.set_num_threads(given.threads)
    print(
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"{given.threads} threads, {given.cells} cells, {given.limit} prompts"
    )
    with TemporaryFolder("sweep") as folder:
        settings = [f"evaluation.limit={given.limit}", *of_real_model(given)]
        times, stages = measure_sweep([f"output_dir={folder}/none", "tracking=none", *settings], given.cells)
        print(f"a cell after the first: {told(times)}")
        print("| stage | seconds |\n|---|---|")
        for stage, seconds in stages.items():
            print(f"| {stage} | {seconds:.3f} |")
        if given.model is not None:
            return
        tracked, _ = measure_sweep([f"output_dir={folder}/wandb", "tracking=wandb", *settings], given.cells)
        print(f"with tracking=wandb, offline: {told(tracked)}")
        took = sum(one.cell for one in times)
        for again, words in ((True, "with hidden states computed every epoch"), (False, "with them computed once")):
            shell = shell_script(folder, given.limit, given.shell_cells, again) / given.shell_cells * given.cells
            print(
                f"shell script, {words}: {shell:.0f} s for {given.cells} cells (from {given.shell_cells}); "
                f"{shell / took:.1f} times the sweep's {took:.0f} s (goal 8)"
            )


if __name__ == "__main__":
    main()
