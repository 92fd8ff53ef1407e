"""How strongly each layer is edited: a tent over the depth, told by four numbers."""

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Kernel:
    """heretic's weights of a component over the layers, in its names; positions are shares of the depth, not layers.

    Attributes:
        max_weight: at the tent's top.
        max_weight_position: where that is: 0 is the first layer, 1 the last; it may lie between two.
        min_weight: at the tent's edges; beyond them nothing is done.
        min_weight_distance: from the top to an edge.
    """

    max_weight: float
    max_weight_position: Share
    min_weight: float
    min_weight_distance: Annotated[float, Field(gt=0, le=1)]

    def weights(self, depth: int) -> dict[int, float]:
        """{layer 1..L: its weight}, of the layers that have one other than 0."""
        steps = max(1, depth - 1)
        found = {}
        for layer in range(1, depth + 1):
            away = abs(layer - 1 - self.max_weight_position * steps) / (self.min_weight_distance * steps)
            weight = self.max_weight + away * (self.min_weight - self.max_weight)
            if away <= 1 and weight:
                found[layer] = weight
        return found
