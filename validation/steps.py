"""Runs the study's commands, in the time there is, and keeps how long each took."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from surgery.errors import InputError
from surgery.machine.cpu_numbers import lacks_instructions
from validation.fetch import models_folder

CONF = Path(os.path.relpath(Path(__file__).parent / "conf"))


@dataclass(frozen=True)
class Place:
    """Where things lie.

    Attributes:
        data: a folder, or `hub`: the one setting (VALIDATION_DATA).
        output: records, and the inputs that the recipe makes.
        results: the tables.
        dtype: that models are computed in.
        workers: how many cells of a table run at once. A search runs one after another, and learns from each.
    """

    data: str
    judges: Path
    output: Path
    results: Path
    dtype: str
    workers: int
    quick: bool = False

    @property
    def inputs(self) -> Path:
        """What the recipe makes."""
        return self.output / "inputs"


class TimeIsUp(Exception):
    """The study has measured for as long as it was to; the message is the command that comes next."""


@dataclass
class Steps:
    """Runs commands and keeps how long each took.

    Attributes:
        deadline: on the monotonic clock; what measures is stopped then.
        seconds: {step: how long}.
        peak: what the largest process held, in GiB, and the step that it was of.
    """

    place: Place
    deadline: float
    seconds: dict[str, float] = field(default_factory=dict)
    peak: tuple[float, str] = (0.0, "")

    def search(self, name: str, *arguments: str) -> None:
        """A sweep called `name` of one cell after another, as `surgery` has it."""
        self._sweep(name, *arguments)

    def surgery(self, name: str, *arguments: str) -> None:
        """A sweep called `name`.

        Raises:
            InputError: when it ends with an error.
            TimeIsUp: when it can't end in time.
        """
        self._sweep(name, *arguments, f"hydra.launcher.workers={self.place.workers}")

    def _sweep(self, name: str, *arguments: str) -> None:
        place = self.place
        settings = [f"output_dir={place.output}", f"sweep={name}", "tracking=none", f"model.dtype={place.dtype}"]
        self._run(name, "surgery", "--config-dir", str(CONF), *arguments, *settings, deadline=self.deadline)

    def sweeps(self, *arguments: str) -> str:
        """What `sweeps` prints."""
        return self._run("tables", "sweeps", *arguments, "-o", str(self.place.output), told=False)

    def python(self, name: str, module: str, *arguments: str) -> None:
        """Runs a module of the study."""
        self._run(name, "python", "-m", module, *arguments)

    def _run(self, name: str, command: str, *arguments: str, told: bool = True, deadline: float | None = None) -> str:
        line = " ".join([command, *arguments])
        print(f"$ {line}", flush=True)
        began = time.monotonic()
        program = Path(sys.executable).parent / command
        out = None if told else subprocess.PIPE
        left = None if deadline is None else deadline - began
        if left is not None and left <= 0:
            raise TimeIsUp(line)
        # Whatever ends this one, tables are written once that one has ended too.
        with subprocess.Popen([str(program), *arguments], env=self._environment(), stdout=out, text=True) as process:
            try:
                said, _ = process.communicate(timeout=left)
            except subprocess.TimeoutExpired:
                # A sweep drops the cell that is running and keeps all else. Ctrl-C's signal is one that a shell lets
                # what it starts in the background ignore.
                process.terminate()
                process.communicate()
                raise TimeIsUp(line) from None
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began
                # Of all that ended so far, processes of processes among them, in KiB.
                held = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
                self.peak = max(self.peak, (held, name), key=lambda one: one[0])
        if process.returncode:
            raise InputError(f"this ended with {process.returncode}: {line}")
        return said or ""

    def _environment(self) -> Mapping[str, str]:
        ours = {
            "STUDY_INPUTS": str(self.place.inputs),
            "STUDY_JUDGES": str(self.place.judges),
            "SURGERY_MODELS": str(models_folder()),
            # Workers that wait for each other should not burn the cores they wait for.
            "OMP_WAIT_POLICY": "PASSIVE",
            # Memory that was freed stays the process's own, where glibc gives each large tensor back to the system,
            # which fills the next one's pages with zeros. Logits of a large vocabulary are many; it takes more memory.
            "MALLOC_MMAP_MAX_": "0",
            "MALLOC_TRIM_THRESHOLD_": str(2**34),
        }
        return {**os.environ, **ours}


def machine() -> tuple[str, int]:
    """The dtype that this machine computes the models in without delay, and how many cells it runs at once.

    The models are in bfloat16. Where a processor has no instructions for its products they take 80 times as long, and
    the study is computed in float32.
    """
    if torch.cuda.is_available():
        return "bfloat16", torch.cuda.device_count()
    slow = lacks_instructions(torch.bfloat16)
    return "float32" if slow else "bfloat16", min(2, os.cpu_count() or 1)
