"""States that last: tone in talk, mood in diaries."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random


def lasting(random: Random, length: int, first: float, after_other: float, after_run: Sequence[float]) -> list[bool]:
    """A sequence of states, True for the one that lasts.

    Args:
        random: where it is drawn from.
        length: of the sequence.
        first: the chance of True at first.
        after_other: after False.
        after_run: after one, two, or more of True in a row.
    """
    states = [random.random() < first]
    while len(states) < length:
        run = 0
        while run < len(states) and states[-1 - run]:
            run += 1
        chance = after_run[min(run, len(after_run)) - 1] if run else after_other
        states.append(random.random() < chance)
    return states
