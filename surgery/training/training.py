"""How the methods that train a model do it, and how they read its texts."""

from collections.abc import Iterator
from typing import TypedDict

import torch
from tqdm import tqdm


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


def training_batches(
    count: int, training: Training, description: str, generator: torch.Generator | None = None
) -> Iterator[list[int]]:
    """Batches of the numbers 0 to count - 1, in a new order each epoch.

    Args:
        generator: draws the orders; None is torch's own.
    """
    epochs, size = training.get("epochs", 1), training.get("batch_size", 16)
    total = epochs * -(-count // size)
    with tqdm(total=total, desc=description, unit="batch", disable=not training.get("progress", False)) as bar:
        for _ in range(epochs):
            for batch in torch.randperm(count, generator=generator).split(size):
                yield batch.tolist()
                bar.update()
