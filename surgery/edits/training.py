"""How the methods that train a model do it, and how they read its texts."""

from typing import TypedDict


class Training(TypedDict, total=False):
    """Settings of a training; each method says its own defaults.

    Attributes:
        lr, epochs, batch_size: of the optimizer.
        max_length, chat: how texts are read, as in `collect_hidden_states`.
        seed: of the order of the texts, and of what starts at random.
    """

    lr: float
    epochs: int
    batch_size: int
    max_length: int
    chat: bool
    seed: int
