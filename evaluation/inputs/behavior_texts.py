"""The behavior's own labelled texts, for evaluators that are made of them: the same for every seed of a cell."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surgery.texts.text_split import split_texts
from surgery.texts.texts import LabelledTexts, read_texts

# Of what is drawn of the texts, and of their split: a probe of this seed is trained and tested on the same parts.
SEED = 0
_OPTIONS = ("text", "label", "avoid", "against", "labels", "separator", "columns", "balance", "limit")


def behavior_texts(behavior: Mapping[str, Any]) -> LabelledTexts:
    """Reads the texts that the keys of `behavior` say; raises InputError as `read_texts` does."""
    given = {name: behavior[name] for name in _OPTIONS if behavior.get(name) is not None}
    return read_texts(behavior["path"], **given, seed=SEED)


def parts(texts: LabelledTexts, share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (trained on, held out) as `split_texts` gives them; copies of a text are in one part."""
    return split_texts(texts.labels, share, SEED, texts.texts)
