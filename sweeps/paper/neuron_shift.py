"""How many of a region's neurons are active with and without the edit, on one set of prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sweeps.paper.prompt_sets import PromptSet
from sweeps.paper.verdicts import judged, of_all

if TYPE_CHECKING:
    from evaluation.comparison.compare import Comparison

# "As many" is a change of less than one in a hundred of the region's neurons.
AS_MANY = 0.01
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class NeuronShift:
    """Counts of active neurons.

    Attributes:
        prompts: n of them.
        neurons: of the region.
        before, after: for each prompt [its tokens].
    """

    prompts: PromptSet
    neurons: int
    before: Sequence[Counts]
    after: Sequence[Counts]

    @cached_property
    def change(self) -> "Comparison":
        """Of the mean over prompts of each prompt's mean over tokens, with its paired 95 % interval over prompts."""
        from evaluation.comparison.compare import compare
        from evaluation.measurements.measurement import Measurement

        ids = tuple(str(index) for index in range(len(self.before)))
        before, after = (
            Measurement("active neurons", "report", ids, np.array([counts.mean() for counts in side]))
            for side in (self.before, self.after)
        )
        return compare(before, after)

    def in_words(self) -> str:
        """The means, and the change with its interval."""
        low, high = self.change.ci95
        return (
            f"{self.prompts.name} ({len(self.before)} prompts): {self.change.base:.2f} → {self.change.edited:.2f} "
            f"active neurons a token: {self.change.delta:+.2f} ({low:+.2f} to {high:+.2f})"
        )


def shifts_in_words(behavior: str, shifts: Sequence[NeuronShift]) -> list[str]:
    """Whether the paper's claims hold: more neurons are active on prompts of the behavior, as many on others.

    Args:
        behavior: its name.
        shifts: of its region, on prompts of the behavior and of tasks.
    """
    neurons = shifts[0].neurons
    distance = AS_MANY * neurons
    own = [shift for shift in shifts if shift.prompts.kind == "behavior"]
    tasks = [shift for shift in shifts if shift.prompts.kind == "task"]
    more = of_all([judged(*shift.change.ci95) for shift in own])
    same = of_all([judged(*shift.change.ci95, distance) for shift in tasks])
    return [
        f"{more}: with the edit of {behavior}, more of its region's {neurons:,} neurons are active on prompts of the "
        "behavior",
        *(f"    {shift.in_words()}" for shift in own),
        f"{same}: with the edit of {behavior}, as many of its region's {neurons:,} neurons are active on task prompts "
        f"(within {100 * AS_MANY:g} % of them, {distance:,.2f})",
        *(f"    {shift.in_words()}" for shift in tasks),
    ]
