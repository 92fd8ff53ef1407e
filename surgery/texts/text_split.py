"""Which of the texts a probe is trained on, and which it is tested on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surgery.texts.words import text_key


def same_texts(texts: Sequence[str]) -> NDArray[np.int64]:
    """A number for each text, [n]: equal for copies (see `text_key`), from 0 as they first appear."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(text_key(text), len(numbers)) for text in texts], dtype=np.int64)


def split_texts(
    labels: Sequence[int] | Any, test_share: float, seed: int, texts: Sequence[str] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (train, test) of a random split with the same share of each class, sorted. The paper's is 90/10.

    Different texts are split, so that no text is trained on and tested with: its copies follow it. Where all differ
    this is a split of the texts themselves. A text that stands there with both labels is drawn as one of its more
    frequent label.

    Args:
        labels: 0 or 1, [n].
        test_share: of the different texts.
        seed: of the draw.
        texts: [n]; without them all count as different.

    Raises:
        ValueError: scikit-learn's, when a part would be smaller than the number of classes.
    """
    from sklearn.model_selection import train_test_split

    numbers = np.arange(len(labels)) if texts is None else same_texts(texts)
    classes = (np.bincount(numbers, weights=np.asarray(labels)) / np.bincount(numbers) >= 0.5).astype(np.int64)
    parts = train_test_split(np.arange(len(classes)), test_size=test_share, random_state=seed, stratify=classes)
    train, test = (np.flatnonzero(np.isin(numbers, part)) for part in parts)
    return train, test
