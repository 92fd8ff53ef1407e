"""Weights that training found, as an intervention: w ← w + α·(trained − w)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from transformers import PreTrainedModel

from surgery.changes.alpha import require_alpha
from surgery.edits.intervention_file import read_intervention, write_intervention
from surgery.edits.weight_change import NewWeight, WeightChange, parameter_of
from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_parts
from surgery.model.fingerprints import tensor_bytes
from surgery.rows.locator import decoder_blocks


@dataclass(frozen=True, eq=False)
class NewWeights(WeightChange):
    """What training made of some parameters.

    Attributes:
        trained: {parameter: its values after training}, in the model's dtype.
        base_fingerprint: of the model it began from.
        alpha: share of the way that is gone; 1 gives the trained values to the bit.
    """

    FORMAT: ClassVar[str] = "surgery.new_weights/1"

    trained: Mapping[str, torch.Tensor]
    base_fingerprint: str
    alpha: float = 1.0

    def __post_init__(self) -> None:
        require_alpha(self.alpha)
        if not self.trained:
            raise InputError("training changed no weight; take a larger method.lr, or the model in float32")

    def __str__(self) -> str:
        return f"{len(self.trained)} parameters, trained"

    @cached_property
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""
        tensors = [part for name, values in sorted(self.trained.items()) for part in (name, tensor_bytes(values))]
        return sha256_of_parts([self.FORMAT, self.base_fingerprint, float(self.alpha).hex(), *tensors])

    def new_weights(self, model: PreTrainedModel) -> Iterator[NewWeight]:
        """Each trained parameter, part of the way from what the model has."""
        parameters, layers = dict(model.named_parameters()), layer_of_parameters(model)
        for name, values in sorted(self.trained.items()):
            weight = parameter_of(parameters, name, values.shape).data
            new = values.to(weight.device)
            if self.alpha != 1:
                new = weight.float() + self.alpha * (new.float() - weight.float())
            yield NewWeight(name, layers.get(name, 0), new.to(weight.dtype))

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all; as large as the trained weights."""
        said = {"alpha": self.alpha, "base_fingerprint": self.base_fingerprint}
        write_intervention(path, self.FORMAT, self.trained, said, self.fingerprint)

    @classmethod
    def load(cls, path: str | Path) -> "NewWeights":
        """Reads what `save` wrote; raises InputError for anything else."""
        return read_intervention(path, cls.FORMAT, lambda tensors, said: cls(tensors, **said))


def layer_of_parameters(model: PreTrainedModel) -> dict[str, int]:
    """{parameter: 1..L} of those that lie in a block."""
    blocks = enumerate(decoder_blocks(model), start=1)
    layers = {id(parameter): layer for layer, block in blocks for parameter in block.parameters()}
    return {name: layers[id(parameter)] for name, parameter in model.named_parameters() if id(parameter) in layers}
