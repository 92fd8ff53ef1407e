"""A measurement that goes wrong when the edit touches a given number of rows; found through PYTHONPATH by workers."""

import os
import random
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from safetensors import safe_open

from evaluation.measurements.measurement import Half, Measurement


def rows_changed(model: Any) -> int:
    """How many rows of any matrix differ from those in the model's folder."""
    changed = 0
    with safe_open(Path(model.name_or_path) / "model.safetensors", "pt") as file:
        for name, value in model.named_parameters():
            if value.ndim == 2 and name in file.keys():  # noqa: SIM118
                changed += int((file.get_tensor(name) != value.detach()).any(dim=1).sum())
    return changed


@dataclass(frozen=True)
class Fault:
    """Measures the rows changed; with `rows` of them it raises, is killed, or gives no number.

    Attributes:
        how: raise, kill, no_number; or slow and uneven, whatever the rows: a while, or a while by chance.
        rows: of the edit that it happens to.
        log: a file that gets a line for every measurement of an edited model, and before it happens.
        times: how often it happens.
    """

    how: str
    rows: int
    log: str
    times: int = 1_000

    cost: ClassVar[int] = 1

    def first_look(self) -> None:
        return None

    def check(self) -> None:
        return None

    def prepare(self) -> None:
        return None

    def identity(self) -> dict[str, Any]:
        return {"kind": "fault", "rows": self.rows}

    def measure(self, model: Any, tokenizer: Any, progress: bool = False) -> list[Measurement]:
        changed = rows_changed(model)
        with open(self.log, "a") as file:
            file.write(f"{changed}\n")
        before = Path(self.log).read_text().split().count(str(self.rows))
        value = float(changed)
        if changed == self.rows and before <= self.times:
            if self.how == "raise":
                raise RuntimeError("made to fail\nwith a second line")
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "no_number":
                value = float("nan")
        if self.how == "slow" and changed:
            time.sleep(0.4)
        if self.how == "uneven" and changed:
            time.sleep(random.choice((0, 1.5)))
        return [Measurement("rows_changed", "report", ("one",), np.array([value]))]


@dataclass(frozen=True)
class Rows:
    """Measures, with 40 samples a half, how far the rows changed are from a number; and tells each time it does.

    Attributes:
        best: the number of rows from which it is measured.
        log: a file that gets a line for every measurement: the cost, and whether it was a part.
        cost: as of an evaluator.
        name: of the measurement.
        part: whether only the first eight samples of the selection half are measured.
    """

    best: int
    log: str
    cost: int = 2
    name: str = "distance"
    part: bool = False

    def first_look(self) -> Self:
        return replace(self, part=True)

    def check(self) -> None:
        return None

    def prepare(self) -> None:
        return None

    def identity(self) -> dict[str, Any]:
        return {"kind": "rows", "best": self.best, "name": self.name, "part": self.part}

    def measure(self, model: Any, tokenizer: Any, progress: bool = False) -> list[Measurement]:
        changed = rows_changed(model)
        with open(self.log, "a") as file:
            file.write(f"{self.name} {changed} {'part' if self.part else 'all'}\n")
        ids = tuple(f"sample {i}" for i in range(8 if self.part else 40))
        # A little noise that pairs: the same samples are a little further off, whatever was edited.
        scores = abs(changed - self.best) + np.linspace(0, 0.01, 40)[: len(ids)]
        halves: tuple[Half, ...] = ("selection",) if self.part else ("selection", "report")
        return [Measurement(self.name, half, ids, scores) for half in halves]
