"""Directional ablation: the weights that write to the residual stream lose a direction (Arditi et al. 2024)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from transformers import PreTrainedModel

from surgery.changes.alpha import require_alpha
from surgery.changes.direction import unit_vector
from surgery.edits.intervention_file import read_intervention, write_intervention
from surgery.edits.weight_change import NewWeight, WeightChange
from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_parts
from surgery.model.fingerprints import tensor_bytes
from surgery.rows.locator import WRITES_TO_STREAM, layer_count, locate


@dataclass(frozen=True, eq=False)
class Ablation(WeightChange):
    """w ← w − α·(w·d̂)·d̂ for every vector w that the embedding, o_proj and down_proj write to the stream.

    With alpha 1 nothing the weights write has a part along the direction; 2 mirrors it. Biases stay.

    Attributes:
        direction: float32 [d]; its norm is of no account.
        alpha: any finite number but 0.
        base_fingerprint: of the model the direction was found in.
    """

    FORMAT: ClassVar[str] = "surgery.ablation/1"

    direction: torch.Tensor
    alpha: float
    base_fingerprint: str

    def __post_init__(self) -> None:
        require_alpha(self.alpha)
        unit_vector(self.direction)

    def __str__(self) -> str:
        return "every vector that the embedding, o_proj and down_proj write to the stream"

    @property
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""
        return sha256_of_parts(
            [self.FORMAT, self.base_fingerprint, tensor_bytes(self.direction.float()), float(self.alpha).hex()]
        )

    def new_weights(self, model: PreTrainedModel) -> Iterator[NewWeight]:
        """The embedding first, then the two matrices of each layer."""
        parameters = dict(model.named_parameters())
        unit = unit_vector(self.direction)
        if unit.numel() != model.config.get_text_config().hidden_size:
            raise InputError(
                f"the direction has {unit.numel()} entries, but this model is "
                f"{model.config.get_text_config().hidden_size} wide"
            )
        embedding = next(model.get_input_embeddings().parameters())
        name = next(name for name, parameter in parameters.items() if parameter is embedding)
        yield NewWeight(name, 0, self._without(embedding.data.clone(), unit))
        for component in WRITES_TO_STREAM:
            homes = locate(model, component)
            if len({home.layer for home in homes}) < layer_count(model):
                raise InputError(
                    f"{type(model).__name__}: some layers have no {component}, so what they write to the stream can't "
                    "be ablated"
                )
            for home in homes:
                values = parameters[home.parameter].data.clone()
                self._without(home.view(values), unit)
                yield NewWeight(home.parameter, home.layer, values)

    def _without(self, vectors: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        """Takes the direction out of vectors [..., d] in place; in float32, rounded once."""
        unit = unit.to(vectors.device)
        exact = vectors.float()
        return vectors.copy_(exact - self.alpha * (exact @ unit).unsqueeze(-1) * unit)

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all."""
        said = {"alpha": self.alpha, "base_fingerprint": self.base_fingerprint}
        write_intervention(path, self.FORMAT, {"direction": self.direction.float()}, said, self.fingerprint)

    @classmethod
    def load(cls, path: str | Path) -> "Ablation":
        """Reads what `save` wrote; raises InputError for anything else."""
        return read_intervention(path, cls.FORMAT, lambda tensors, said: cls(tensors["direction"], **said))
