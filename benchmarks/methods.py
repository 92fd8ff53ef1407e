"""What `surgery experiment=methods` costs beside its bare work: several methods in one process, a search each.

    python benchmarks/methods.py [--methods surgery,directional_ablation,caa,lora] [--cells 3] [--limit 20]
        [--threads 2]

The toy world, `tracking=none`, `--cells` of each method. The bare work of a cell is the calls of the models that
measuring it makes (`bare_calls.py` says which), made again right after it, and training as often as it was done. It is
set against all that the command takes from the end of its first cell to the end of its last, asking the samplers,
probes, rankings, the store and records with it. Goal: at most 1.15. How often was trained, beside how many settings
train otherwise, and how often the language model was loaded, are told.
"""

import argparse
import datetime
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
from bare_calls import Times, calls_of_a_cell, run_all
from timing import timed

from surgery.files.temporary_folder import TemporaryFolder


@dataclass
class Watch:
    """Takes the times of the cells of a command that runs in this process, and runs the bare calls after each.

    Attributes:
        cells: (method, times), in the order in which they ended.
        took: [seconds, seconds that cores worked] from the end of the first cell to that of the last, without bare
            calls.
        trained: likewise of each training, and whether the first cell had ended by then.
        settings: the entries of the store that hold what was trained.
        loaded: how often a language model was loaded.
    """

    cells: list[tuple[str, Times]] = field(default_factory=list)
    took: np.ndarray = field(default_factory=lambda: np.zeros(2))
    trained: list[tuple[float, float, bool]] = field(default_factory=list)
    settings: set[str] = field(default_factory=set)
    loaded: int = 0
    _calls: list[Callable[[], Any]] = field(default_factory=list)
    _resumed: np.ndarray = field(default_factory=lambda: np.zeros(2))

    def wait(self, plain: Callable[[Any], Any], conductor: Any) -> Any:
        """In place of `Conductor.wait`."""
        import torch

        ended: list[Any] = []
        took = Times(*timed(lambda: ended.extend(plain(conductor))))
        if not ended:
            return ended
        if self.cells:
            self.took += _clocks() - self._resumed
        else:
            self._calls = calls_of_a_cell(next(iter(conductor._plans.values())), conductor._executor)
        with torch.inference_mode():
            took.bare, took.bare_worked = timed(partial(run_all, self._calls))
        self._resumed = _clocks()
        self.cells.append((ended[0].keys["method"], took))
        return ended

    def use(self, plain: Callable[..., Any], store: Any, stage: str, identity: Any, make: Any, load: Any) -> Any:
        """In place of `Store.use`."""
        if stage == "trained":
            self.settings.add(store.name(stage, identity))

            def timed_make(folder: Any) -> None:
                later = bool(self.cells)
                self.trained.append((*timed(lambda: make(folder)), later))

            return plain(store, stage, identity, timed_make, load)
        return plain(store, stage, identity, make, load)

    def load(self, plain: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """In place of `load_model`."""
        self.loaded += 1
        return plain(*args, **options)


def _clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def measure(arguments: list[str]) -> Watch:
    """Runs a command in this process."""
    from sweeps.commands.surgery_command import main
    from sweeps.conduct.conductor import Conductor
    from sweeps.run import workbench
    from sweeps.store.store import Store

    watch = Watch()
    wait, use, load = Conductor.wait, Store.use, workbench.load_model
    with (
        mock.patch.object(Conductor, "wait", lambda self: watch.wait(wait, self)),
        mock.patch.object(Store, "use", lambda self, *args: watch.use(use, self, *args)),
        mock.patch.object(workbench, "load_model", partial(watch.load, load)),
        mock.patch.object(sys, "argv", ["surgery", *arguments]),
    ):
        main()
    return watch


def tell(watch: Watch) -> None:
    """Prints a line a method, and all of it."""
    print("| method | cells | a cell | its bare calls | ratio | by the work of the cores |\n|---|---|---|---|---|---|")
    later = watch.cells[1:]
    for method in dict.fromkeys(name for name, _ in later):
        own = [one for name, one in later if name == method]
        print(
            f"| {method} | {len(own)} | {median(one.cell for one in own):.2f} s | "
            f"{median(one.bare for one in own):.2f} s | {median(one.cell / one.bare for one in own):.2f} | "
            f"{median(one.cell_worked / one.bare_worked for one in own):.2f} |"
        )
    training = [sum(one[place] for one in watch.trained if one[2]) for place in (0, 1)]
    bare = sum(one.bare for _, one in later) + training[0], sum(one.bare_worked for _, one in later) + training[1]
    print(
        f"{len(later)} cells after the first: {watch.took[0]:.1f} s, their bare calls and training {bare[0]:.1f} s "
        f"({training[0]:.1f} s of it training); ratio {watch.took[0] / bare[0]:.2f}; by the work of the cores "
        f"{watch.took[1] / bare[1]:.2f} (goal 1.15)"
    )
    print(f"trained {len(watch.trained)} times for {len(watch.settings)} settings; models loaded: {watch.loaded}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="surgery,directional_ablation,caa,lora")
    parser.add_argument("--cells", type=int, default=3, help="of each method")
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": str(given.threads), "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    import torch

    torch.set_num_threads(given.threads)
    print(
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"{given.threads} threads, {given.cells} cells a method, {given.limit} prompts"
    )
    with TemporaryFolder("methods") as folder:
        settings = [f"evaluation.limit={given.limit}", "tracking=none", "hydra.launcher.workers=0"]
        command = ["experiment=methods", f"method={given.methods}", f"hydra.sweeper.n_trials={given.cells}"]
        tell(measure([*command, f"output_dir={folder}", *settings]))


if __name__ == "__main__":
    main()
