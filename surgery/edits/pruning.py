"""Pruning: some of the weights are made smaller, or zero."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from surgery.changes.alpha import require_alpha
from surgery.edits.intervention_file import read_intervention, write_intervention
from surgery.edits.new_weights import layer_of_parameters
from surgery.edits.weight_change import NewWeight, WeightChange, parameter_of
from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_parts
from surgery.model.fingerprints import fingerprint, tensor_bytes
from surgery.rows.linear_layers import linear_layers


@dataclass(frozen=True, eq=False)
class Pruning(WeightChange):
    """w ← (1 − α)·w for the weights that a mask marks.

    Attributes:
        masks: {parameter: bool, in its shape}.
        base_fingerprint: of the model that they were chosen in.
        alpha: any finite number but 0; 1 prunes, a negative one makes them larger.
    """

    FORMAT: ClassVar[str] = "surgery.pruning/1"

    masks: Mapping[str, torch.Tensor]
    base_fingerprint: str
    alpha: float = 1.0

    def __post_init__(self) -> None:
        require_alpha(self.alpha)
        if not self.count:
            raise InputError(
                "no weight counts for the behavior's texts alone; take a larger method.behavior_share or a smaller "
                "method.utility_share"
            )

    def __str__(self) -> str:
        total = sum(mask.numel() for mask in self.masks.values())
        return f"{self.count} of {total} weights of {len(self.masks)} matrices"

    @cached_property
    def count(self) -> int:
        """How many weights are marked."""
        return sum(int(mask.sum()) for mask in self.masks.values())

    @cached_property
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""
        parts = [
            part
            for name, mask in sorted(self.masks.items())
            for part in (name, str(list(mask.shape)), tensor_bytes(mask))
        ]
        return sha256_of_parts([self.FORMAT, self.base_fingerprint, float(self.alpha).hex(), *parts])

    def new_weights(self, model: PreTrainedModel) -> Iterator[NewWeight]:
        """Each parameter with its marked weights changed; in float32, rounded once."""
        parameters, layers = dict(model.named_parameters()), layer_of_parameters(model)
        for name, mask in sorted(self.masks.items()):
            weight = parameter_of(parameters, name, mask.shape).data
            smaller = ((1 - self.alpha) * weight.float()).to(weight.dtype)
            yield NewWeight(name, layers.get(name, 0), torch.where(mask.to(weight.device), smaller, weight))

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all: a bit a weight."""
        said = {
            "alpha": self.alpha,
            "base_fingerprint": self.base_fingerprint,
            "shapes": {name: list(mask.shape) for name, mask in self.masks.items()},
        }
        packed = {name: torch.from_numpy(np.packbits(mask.numpy())) for name, mask in self.masks.items()}
        write_intervention(path, self.FORMAT, packed, said, self.fingerprint)

    @classmethod
    def load(cls, path: str | Path) -> "Pruning":
        """Reads what `save` wrote; raises InputError for anything else."""

        def made(packed: dict[str, torch.Tensor], said: dict[str, Any]) -> Pruning:
            shapes = said.pop("shapes")
            masks = {
                name: torch.from_numpy(np.unpackbits(packed[name].numpy(), count=int(np.prod(shape))).astype(bool))
                for name, shape in shapes.items()
            }
            return cls({name: mask.reshape(shapes[name]) for name, mask in masks.items()}, **said)

        return read_intervention(path, cls.FORMAT, made)


def wanda_set_difference(
    model: PreTrainedModel,
    behavior: Mapping[str, torch.Tensor],
    utility: Mapping[str, torch.Tensor],
    behavior_share: float,
    utility_share: float,
) -> Pruning:
    """Marks the weights that count for a behavior but not for the rest.

    A weight's score is |W_ij|·‖X_j‖₂ (Wanda: Sun et al. 2024, Equation 1). Of each matrix those among the highest
    `behavior_share` of scores on the behavior's texts are marked, without those among the highest `utility_share` on
    other texts: the set difference of Wei et al. 2024 (Section 3.2), whose q and p these are.

    Args:
        behavior, utility: {linear layer: norms of its inputs [in]}, see `surgery.activity.input_norms`.

    Raises:
        InputError: when no weight is left.
    """
    masks = {}
    for name, layer in linear_layers(model).items():
        if name in behavior and name in utility:
            weight = layer.weight.detach().float().abs().cpu()
            # Inputs are columns, but rows in a matrix that is kept transposed.
            along = (-1, 1) if isinstance(layer, Conv1D) else (1, -1)
            highest = _highest(weight * behavior[name].view(along), behavior_share)
            masks[f"{name}.weight"] = highest & ~_highest(weight * utility[name].view(along), utility_share)
    return Pruning(masks, fingerprint(model))


def _highest(scores: torch.Tensor, share: float) -> torch.Tensor:
    """The mask of the highest scores of a matrix; so many, rounded down, of those that are equal the first."""
    mask = torch.zeros(scores.numel(), dtype=torch.bool)
    mask[scores.flatten().sort(descending=True, stable=True).indices[: int(share * scores.numel())]] = True
    return mask.view(scores.shape)
