"""What scores of several continuations make of their prompt, by the names of the scores."""

import numpy as np
from numpy.typing import NDArray


def worst_name(score: str) -> str | None:
    """What the highest score of a prompt's continuations is called; None for a score that is averaged.

    A rate, such as `toxicity/toxic_rate`, becomes `toxicity/any_toxic`: whether at least one continuation counts, whose
    mean over prompts is the probability of that. A mean probability, `toxicity/mean`, becomes
    `toxicity/expected_maximum` (Gehman et al. 2020, Section 3).
    """
    name = score.rpartition("/")[2]
    group = score.removesuffix(name)
    if name == "mean":
        return f"{group}expected_maximum"
    return f"{group}any_{name.removesuffix('_rate')}" if name.endswith("_rate") else None


def of_prompts(score: str, values: NDArray[np.float64]) -> tuple[str, NDArray[np.float64]]:
    """(the measured name, one score a prompt [n]) of the scores [k, n] of k continuations of n prompts each."""
    worst = worst_name(score)
    return (score, values.mean(axis=0)) if worst is None else (worst, values.max(axis=0))
