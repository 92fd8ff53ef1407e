"""What judges continuations where nobody has said so."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluation.inputs.detoxify_checkpoint import published_checkpoint
from evaluation.judge.known_judges import PROBE_TEXTS
from surgery.texts.words import as_word

# Of each class: what `ProbeTexts` needs, and some more, since who is held out is drawn.
HELD_OUT = 14
LARGEST_SHARE = 0.5
USUAL_SHARE = 0.1


@dataclass(frozen=True)
class JudgeChoice:
    """Keys that choose a judge, and what a person is told."""

    overrides: tuple[str, ...]
    said: str


def choose_judge(counts: Mapping[str, int], avoid: Sequence[object]) -> JudgeChoice:
    """Detoxify where its checkpoint is on this machine, else a classifier of the person's own texts.

    Args:
        counts: how many texts carry each label; empty where that is not known.
        avoid: labels to move away from.
    """
    if published_checkpoint().is_file():
        other = f"another behavior than toxicity wants evaluation.judge={PROBE_TEXTS}, a list of words or a guard"
        return JudgeChoice((), f"Detoxify (class toxicity), which is on this machine; {other}")
    said = (
        f"{PROBE_TEXTS}, a classifier of held-out texts of yours, whose accuracy is told. Detoxify is not on this "
        "machine: evaluation.detoxify.checkpoint=FILE evaluation.detoxify.config=FOLDER name it, evaluation.judge=NAME "
        "a guard, another classifier or a list of words (docs/measurements.md)"
    )
    share = _share(counts, avoid)
    more = (f"probe.test_share={share:g}",) if share > USUAL_SHARE else ()
    return JudgeChoice((f"evaluation.judge={PROBE_TEXTS}", *more), said)


def _share(counts: Mapping[str, int], avoid: Sequence[object]) -> float:
    """Which share of the texts is to be held out, in steps of 0.05, for the classifier to have enough of each class."""
    avoided = set(map(as_word, avoid))
    of_class = [sum(n for word, n in counts.items() if (word in avoided) is which) for which in (True, False)]
    smaller = min(of_class)
    wanted = math.ceil(20 * HELD_OUT / smaller) / 20 if smaller else USUAL_SHARE
    return wanted if wanted <= LARGEST_SHARE else USUAL_SHARE
