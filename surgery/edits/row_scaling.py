"""Neurons made weaker or stronger: rows of a region multiplied, each by a number of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel

from surgery.changes.alpha import require_alpha
from surgery.changes.direction import unit_vector
from surgery.edits.intervention_file import read_intervention, write_intervention
from surgery.edits.weight_change import NewWeight, WeightChange, parameter_of
from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_parts
from surgery.model.fingerprints import tensor_bytes
from surgery.model.offload import Weights
from surgery.region.region import Region
from surgery.rows.locator import MLP_COMPONENTS, by_layer, locate
from surgery.rows.rows import read_rows, split_by_home, write_rows


@dataclass(frozen=True, eq=False)
class RowScaling(WeightChange):
    """w_i ← (1 − α·c_i)·w_i for every row w_i of a region; other rows stay.

    Attributes:
        region: the rows.
        cosines: c, {layer: float32 [k]}, in the order of the region's rows.
        alpha: any finite number but 0; with 1, a row of cosine 1 is silenced and one of cosine −1 doubled.
    """

    FORMAT: ClassVar[str] = "surgery.row_scaling/1"

    region: Region
    cosines: Mapping[int, torch.Tensor]
    alpha: float

    def __post_init__(self) -> None:
        require_alpha(self.alpha)
        for layer, rows in self.region.rows.items():
            if self.cosines[layer].shape != rows.shape:
                raise InputError(f"layer {layer} has {rows.numel()} rows, but {self.cosines[layer].numel()} cosines")

    def __str__(self) -> str:
        return f"{self.region.how}, scaled"

    @property
    def base_fingerprint(self) -> str:  # type: ignore[override]
        """Of the model whose rows were ranked."""
        return self.region.model_fingerprint

    @cached_property
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""
        parts: list[str | bytes] = [self.FORMAT, self.region.fingerprint, float(self.alpha).hex()]
        parts += [tensor_bytes(self.cosines[layer]) for layer in self.region.layers]
        return sha256_of_parts(parts)

    def new_weights(self, model: PreTrainedModel) -> Iterator[NewWeight]:
        """Each parameter that holds rows of the region; in float32, rounded once."""
        parameters = dict(model.named_parameters())
        for layer in self.region.layers:
            left = self.cosines[layer]
            for home, rows in split_by_home(self.region.homes[layer], self.region.rows[layer]):
                cosines, left = left.split([len(rows), len(left) - len(rows)])
                values = parameter_of(parameters, home.parameter, home.shape).data.clone()
                view, factors = home.view(values), (1 - self.alpha * cosines).unsqueeze(1)
                at = rows.to(view.device)
                new = read_rows(view, at).float() * factors.to(view.device)
                write_rows(view, at, new.to(values.dtype))
                yield NewWeight(home.parameter, layer, values)

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all."""
        tensors = self.region.tensors() | {f"cosines.{layer}": one for layer, one in self.cosines.items()}
        said = {"alpha": self.alpha, "region": self.region.described()}
        write_intervention(path, self.FORMAT, tensors, said, self.fingerprint)

    @classmethod
    def load(cls, path: str | Path) -> "RowScaling":
        """Reads what `save` wrote; raises InputError for anything else."""

        def made(tensors: dict[str, torch.Tensor], said: dict[str, Any]) -> RowScaling:
            region = Region.read(tensors, said["region"])
            cosines = {layer: tensors[f"cosines.{layer}"] for layer in region.rows}
            return cls(region, cosines, said["alpha"])

        return read_intervention(path, cls.FORMAT, made)


def value_cosines(model: PreTrainedModel, direction: torch.Tensor, region: Region) -> dict[int, torch.Tensor]:
    """The cosines with a direction of what a region's neurons write to the stream, their columns of down_proj.

    Neurons have one number in all three matrices of an MLP, so the region may be of rows of any of them.

    Args:
        direction: [d], of any norm above 0.

    Returns:
        {layer: float32 [k]} in the order of the region's rows; 0 for a column of zeros.

    Raises:
        InputError: for a region of attention's rows, which are of no neuron.
    """
    if region.component not in MLP_COMPONENTS:
        raise InputError(f"rows of {region.component} are of no neuron; take one of {', '.join(MLP_COMPONENTS)}")
    weights, unit = Weights(model), unit_vector(direction)
    homes, found = by_layer(locate(model, "down_proj")), {}
    for layer, rows in region.rows.items():
        parts = []
        for home, own in split_by_home(homes[layer], rows):
            view = home.view(weights[home.parameter])
            vectors = read_rows(view, own.to(view.device)).float().cpu()
            norms = vectors.norm(dim=1)
            parts.append(torch.where(norms == 0, 0.0, vectors @ unit / norms))
        found[layer] = torch.cat(parts)
    return found
