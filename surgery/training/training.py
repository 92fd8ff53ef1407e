"""How the methods that train a model do it, and how they read its texts."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypedDict, TypeVar

import torch
from tqdm import tqdm

B = TypeVar("B")


class Training(TypedDict, total=False):
    """Settings of a training; each method says its own defaults.

    Attributes:
        lr, epochs, batch_size: of the optimizer.
        max_length, chat: how texts are read, as in `collect_hidden_states`.
        seed: of the order of the texts, and of what starts at random.
        progress: show a bar with the time that is left.
    """

    lr: float
    epochs: int
    batch_size: int
    max_length: int
    chat: bool
    seed: int
    progress: bool


def shuffled_batches(count: int, size: int, generator: torch.Generator | None = None) -> Iterator[list[int]]:
    """Batches of the numbers 0 to count - 1 without end: each time all of them, in a new order.

    Args:
        generator: draws the orders; None is torch's own.
    """
    while True:
        for batch in torch.randperm(count, generator=generator).split(size):
            yield batch.tolist()


def first_of(batches: Iterator[B], steps: int, description: str, progress: bool) -> Iterable[B]:
    """The next so many batches, with a bar that shows the time that is left where progress is to be shown."""
    bar: Iterable[B] = tqdm(islice(batches, steps), total=steps, desc=description, unit="batch", disable=not progress)
    return bar
