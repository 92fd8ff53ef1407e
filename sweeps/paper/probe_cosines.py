"""Cosines of the behaviors' probes with mean attention outputs, and with one another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sweeps.paper.prompt_sets import PromptSet
from sweeps.results.random_cosines import random_bound

if TYPE_CHECKING:
    import torch

PAPER_BOUND = 0.07


@dataclass(frozen=True)
class ProbeCosines:
    """All cosines of the figure.

    Attributes:
        probes: names of p behaviors.
        sets: s sets of prompts.
        layers: L layers' numbers.
        width: d.
        attention: [p, s, L], of each probe with each layer's mean attention output on each set.
        between: [p, p].
    """

    probes: tuple[str, ...]
    sets: tuple[PromptSet, ...]
    layers: tuple[int, ...]
    width: int
    attention: NDArray[np.float64]
    between: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        directions: "Mapping[str, torch.Tensor]",
        outputs: "Sequence[tuple[PromptSet, Mapping[int, torch.Tensor]]]",
    ) -> "ProbeCosines":
        """Of directions [d] by behavior, and mean attention outputs {layer: [d]} by set of prompts."""
        probes = np.array([_unit(direction.double().numpy()) for direction in directions.values()])
        layers = tuple(outputs[0][1])
        means = np.array([[_unit(found[layer].double().numpy()) for layer in layers] for _, found in outputs])
        return cls(
            tuple(directions),
            tuple(prompts for prompts, _ in outputs),
            layers,
            probes.shape[1],
            np.einsum("pd,sld->psl", probes, means),
            probes @ probes.T,
        )

    def in_words(self) -> list[str]:
        """A sentence a probe, and one a pair of probes."""
        told = []
        for index, probe in enumerate(self.probes):
            largest = [self._largest(index, kind) for kind in ("task", "behavior")]
            told.append(
                f"probe of {probe}: the largest |cosine| with a layer's mean attention output is {largest[0]} and "
                f"{largest[1]}; the paper has at most {PAPER_BOUND} on task prompts in 4,096 dimensions; of random "
                f"vectors in {self.width:,} dimensions 99.9 % lie within ±{random_bound(self.width):.3f}"
            )
        for one, other in combinations(range(len(self.probes)), 2):
            cosine = self.between[one, other]
            told.append(f"probes of {self.probes[one]} and {self.probes[other]}: cosine {cosine:+.3f}")
        return told

    def _largest(self, probe: int, kind: str) -> str:
        places = [place for place, prompts in enumerate(self.sets) if prompts.kind == kind]
        cosines = np.abs(self.attention[probe, places])
        place, layer = np.unravel_index(int(cosines.argmax()), cosines.shape)
        name = self.sets[places[place]].name
        return f"{cosines.max():.3f} on {kind} prompts ({name}, layer {self.layers[layer]})"

    @property
    def widths(self) -> tuple[float, ...]:
        """Of the two panels; one probe has none to be compared with."""
        return (1,) if len(self.probes) == 1 else (3, 1)

    @property
    def size(self) -> tuple[float, float]:
        """Of the picture in inches: a line a probe and set of prompts."""
        lines = len(self.probes) * len(self.sets)
        return 7.2 if len(self.probes) == 1 else 11.0, max(2.6, 1.4 + 0.32 * lines)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    norm = np.linalg.norm(vector)
    return vector / norm if norm else vector
