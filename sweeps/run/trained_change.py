"""What the methods that train share: the stage that keeps what was trained, and the texts it was trained on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from surgery.texts.text_split import split_texts
from sweeps.run.stage import Stage
from sweeps.run.stage_identities import trained_identity
from sweeps.run.workbench import CellWork

NAME, FILE = "trained", "trained.safetensors"


class _Change(Protocol):
    def save(self, path: Path) -> None: ...
    @classmethod
    def load(cls, path: Path) -> Self: ...


C = TypeVar("C", bound=_Change)


def trained(
    work: CellWork,
    kind: type[C],
    train: Callable[[], C],
    probe_fingerprint: str | None = None,
    method: str | None = None,
) -> Stage[C]:
    """What a method trains on the model that is edited, shared by all alphas.

    Args:
        work: the cell.
        kind: of the change, which reads it from its file.
        train: trains it, on `work.loaded`.
        probe_fingerprint: of the probe it is trained against; None for methods that look at the texts alone.
        method: the one among several that train the same, which they then share; None for the cell's own.
    """

    def make(folder: Path) -> None:
        with work.subject():
            change = train()
        change.save(folder / FILE)

    identity = trained_identity(work.cell, method or work.cell.settings.method.name, probe_fingerprint)
    return Stage(NAME, identity, make, lambda folder: kind.load(folder / FILE))


def training_texts(work: CellWork, label: int) -> list[str]:
    """The behavior's training texts of one class."""
    settings, texts = work.cell.settings, work.experiment.texts
    training, _ = split_texts(texts.labels, settings.probe.test_share, settings.seed, texts.texts)
    return [texts.texts[i] for i in training if texts.labels[i] == label]


def training(work: CellWork) -> dict[str, Any]:
    """How the method trains, and how it reads texts."""
    settings = work.cell.settings
    return {**settings.method.numbers(), **reading(work), "seed": settings.seed, "progress": work.bench.progress}


def reading(work: CellWork) -> dict[str, Any]:
    """How texts are read."""
    behavior = work.cell.settings.behavior
    return {"max_length": behavior.max_length, "chat": behavior.chat}
