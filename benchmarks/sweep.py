"""What a sweep costs beside its forward passes, and beside the same cells done by a shell script.

    python benchmarks/sweep.py [--cells 24] [--limit 40] [--shell-cells 2] [--threads 2]

The toy world, `tracking=none`. The calls of the models (generation, scorer, lm-eval's requests, perplexity) that one
cell makes are recorded and made again, bare, after each cell of the sweep: the ratio is the median over all cells but
the first, each divided by the bare calls right after it. Goal: at most 1.15. The same cells with `tracking=wandb`
(offline) tell what that adds.

The shell script takes a fresh process for the probe, one for the edited checkpoint and one for every evaluation, a
cell; its probe reads the texts again every epoch. It is run for the first `--shell-cells` cells and multiplied.
Goal: the sweep is at least 8 times faster.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from surgery.files.temporary_folder import TemporaryFolder

ALPHAS, SIZES = (1, 1.5, 2, 2.5, 3, 4), (32, 48, 128, 256)


def compose(arguments: list[str]) -> Any:
    """The plan of a command."""
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    from sweeps.config import resolvers
    from sweeps.config.composition import compose_jobs
    from sweeps.plan.planner import make_plan

    resolvers.register()
    GlobalHydra.instance().clear()
    with initialize_config_module("conf", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", arguments, run_mode=RunMode.MULTIRUN)
        jobs = [[*arguments, f"alpha={alpha}", f"top_k={size}"] for alpha in ALPHAS for size in SIZES]
        return make_plan(compose_jobs(loader, master, jobs))


@contextmanager
def recorded_calls() -> Iterator[list[Callable[[], Any]]]:
    """Collects the outermost calls of models, as functions that make them again."""
    import torch
    from transformers import GenerationMixin

    calls: list[Callable[[], Any]] = []
    inside = 0
    plain_call, plain_generate = torch.nn.Module.__call__, GenerationMixin.generate

    def recorder(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal inside
            settings = getattr(self, "generation_config", None)
            if not inside:
                calls.append(lambda: _again(original, self, args, kwargs, settings))
            inside += 1
            try:
                return original(self, *args, **kwargs)
            finally:
                inside -= 1

        return call

    torch.nn.Module.__call__, GenerationMixin.generate = recorder(plain_call), recorder(plain_generate)
    try:
        yield calls
    finally:
        torch.nn.Module.__call__, GenerationMixin.generate = plain_call, plain_generate


def _again(original: Callable[..., Any], model: Any, args: Any, kwargs: Any, settings: Any) -> Any:
    """Makes a call again with the generation settings that the model had then."""
    if settings is None:
        return original(model, *args, **kwargs)
    now, model.generation_config = model.generation_config, settings
    try:
        return original(model, *args, **kwargs)
    finally:
        model.generation_config = now


def measure_sweep(
    folder: Path, limit: int, cells: int, tracking: str, with_bare: bool
) -> tuple[list[float], list[float]]:
    """(seconds of each cell, seconds of the bare calls after it); cells run in this process."""
    import torch

    from sweeps.conduct.conductor import Conductor
    from sweeps.engines.in_process import InProcess
    from sweeps.terminal.cell_tables import console
    from sweeps.terminal.library_output import quiet_libraries
    from sweeps.terminal.progress import Progress

    quiet_libraries()
    plan = compose([f"output_dir={folder}", f"tracking={tracking}", f"evaluation.limit={limit}"])
    plan.sweep_folder.mkdir(parents=True)
    engine = InProcess()
    conductor = Conductor(plan.sweep_folder, engine, Progress(console(stderr=True), cells), {})
    engine.submit(plan, [])
    conductor.submit(type(plan)(**{**plan.__dict__, "experiments": plan.experiments[:cells]}))
    took: list[float] = []
    bare: list[float] = []
    calls: list[Callable[[], Any]] = []
    while conductor.open:
        start = time.perf_counter()
        conductor.wait()
        took.append(time.perf_counter() - start)
        if with_bare:
            if not calls:
                calls = _calls_of_a_cell(plan, engine)
            start = time.perf_counter()
            with torch.inference_mode():
                for call in calls:
                    call()
            bare.append(time.perf_counter() - start)
    conductor.close()
    return took, bare


def _calls_of_a_cell(plan: Any, engine: Any) -> list[Callable[[], Any]]:
    from sweeps.run.measurements import probe_losses
    from sweeps.run.probe_stage import behavior_probe
    from sweeps.run.states_stage import hidden_states
    from sweeps.run.workbench import CellWork

    work = CellWork(engine._runner._bench, plan.experiments[0])
    probe = behavior_probe(work, hidden_states(work))
    with recorded_calls() as calls:
        for evaluator in work.experiment.evaluators.values():
            evaluator.measure(*work.loaded)
        probe_losses(work, probe)
    return list(calls)


def shell_script(folder: Path, limit: int, cells: int, again: bool) -> float:
    """Seconds that a fresh process for each step takes for some cells."""
    plan = compose([f"output_dir={folder}", "tracking=none", f"evaluation.limit={limit}"])
    start = time.perf_counter()
    for index in range(cells):
        names = list(plan.experiments[index].evaluators)
        steps = ["probe" if again else "probe-once", "edit", *(f"measure:{name}" for name in names)]
        for step in steps:
            arguments = ["--step", step, "--cell", str(index), "--folder", str(folder), "--limit", str(limit)]
            subprocess.run([sys.executable, __file__, *arguments], check=True)
    return time.perf_counter() - start


def one_step(step: str, index: int, folder: Path, limit: int) -> None:
    """A step of the shell script, in its own process."""
    from surgery import Edit, Probe, collect_hidden_states, fit_probe, load_model, rank_rows
    from sweeps.terminal.library_output import quiet_libraries

    quiet_libraries()
    experiment = compose([f"output_dir={folder}", "tracking=none", f"evaluation.limit={limit}"]).experiments[index]
    settings, layer = experiment.cell.settings, experiment.cell.layer
    if step.startswith("probe"):
        model, tokenizer = load_model(settings.model.path)
        numbers = settings.probe
        for _ in range(int(numbers.epochs or 1) if step == "probe" else 1):
            states = collect_hidden_states(
                model, tokenizer, experiment.texts.texts, [layer], max_length=settings.behavior.max_length
            )
        fit_probe(
            states[layer],
            experiment.texts.labels,
            "adam",
            lr=numbers.lr,
            epochs=numbers.epochs,
            weight_decay=numbers.weight_decay,
            test_share=numbers.test_share,
            layer=layer,
        ).save(folder / "probe.safetensors")
    elif step == "edit":
        model, tokenizer = load_model(settings.model.path)
        direction = Probe.load(folder / "probe.safetensors").direction(1)
        edit = Edit(
            direction, settings.alpha, rank_rows(model, direction).lowest(experiment.cell.top_k), settings.alpha_unit
        )
        with edit.applied_to(model):
            model.save_pretrained(folder / "edited")
        tokenizer.save_pretrained(folder / "edited")
    else:
        model, tokenizer = load_model(str(folder / "edited"))
        evaluator = experiment.evaluators[step.removeprefix("measure:")]
        evaluator.prepare()
        evaluator.measure(model, tokenizer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=len(ALPHAS) * len(SIZES))
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--shell-cells", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--cell", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": str(given.threads), "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    os.environ["WANDB_MODE"] = "offline"
    import torch

    torch.set_num_threads(given.threads)
    if given.step:
        one_step(given.step, given.cell, given.folder, given.limit)
        return
    print(
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"{given.threads} threads, {given.cells} cells, {given.limit} prompts"
    )
    with TemporaryFolder("sweep") as folder:
        took, bare = measure_sweep(folder / "none", given.limit, given.cells, "none", with_bare=True)
        ratio = median(one / other for one, other in zip(took[1:], bare[1:], strict=True))
        print(
            f"a cell after the first: {median(took[1:]):.2f} s; bare calls: {median(bare[1:]):.2f} s; "
            f"ratio {ratio:.2f} (goal 1.15); first cell {took[0]:.1f} s"
        )
        tracked, bare = measure_sweep(folder / "wandb", given.limit, given.cells, "wandb", with_bare=True)
        with_wandb = median(one / other for one, other in zip(tracked[1:], bare[1:], strict=True))
        print(f"with tracking=wandb, offline: ratio {with_wandb:.2f}")
        for again, words in ((True, "with hidden states computed every epoch"), (False, "with them computed once")):
            shell = shell_script(folder, given.limit, given.shell_cells, again) / given.shell_cells * given.cells
            print(
                f"shell script, {words}: {shell:.0f} s for {given.cells} cells (from {given.shell_cells}); "
                f"{shell / sum(took):.1f} times the sweep's {sum(took):.0f} s (goal 8)"
            )


if __name__ == "__main__":
    main()
