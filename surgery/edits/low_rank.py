"""A change of low rank, such as a trained LoRA, as an intervention: W ← W + α·B·A."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel

from surgery.changes.alpha import require_alpha
from surgery.changes.factors import Factors
from surgery.changes.row_change import RowChange
from surgery.edits.intervention_file import read_intervention, write_intervention
from surgery.edits.weight_change import NewWeight, WeightChange, parameter_of
from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_parts
from surgery.model.fingerprints import tensor_bytes


@dataclass(frozen=True, eq=False)
class LowRankChange(WeightChange):
    """Factors, such as a LoRA found (Hu et al. 2022), and how much of their product is added.

    Attributes:
        trained: the factors of each parameter that changes, without alpha.
        base_fingerprint: of the model they were trained on.
        alpha: any finite number but 0; 1 adds what was trained, and a negative one takes it away, which negates a task
            vector (Ilharco et al. 2023).
        found: how the factors were: `trained`, or `computed` from the weights.
    """

    FORMAT: ClassVar[str] = "surgery.low_rank/1"

    trained: tuple[Factors, ...]
    base_fingerprint: str
    alpha: float = 1.0
    found: str = "trained"

    def __post_init__(self) -> None:
        require_alpha(self.alpha)
        if not self.trained:
            raise InputError("training changed no weight; take a larger method.lr or more method.epochs")
        if len(self.shapes()) < len(self.trained):
            raise InputError("a parameter has more than one change; give each its own, once")

    def __str__(self) -> str:
        return f"{len(self.trained)} matrices, each by a {self.found} product of rank {self.rank}"

    @property
    def rank(self) -> int:
        """Of the change of any one parameter, at most."""
        return max(one.rank for one in self.trained)

    @cached_property
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""
        parts: list[str | bytes] = [self.FORMAT, self.base_fingerprint, float(self.alpha).hex()]
        for one in sorted(self.trained, key=lambda one: one.parameter):
            parts += [json.dumps([one.parameter, one.layer, one.transposed, one.shape, one.rank])]
            parts += [tensor_bytes(one.a), tensor_bytes(one.b)]
        return sha256_of_parts(parts)

    def factors(self) -> Iterator[Factors]:
        """Of alpha·B·A, by the parameter's name; raises InputError for an alpha that makes them infinite."""
        for one in sorted(self.trained, key=lambda one: one.parameter):
            yield one.scaled(self.alpha)

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """{parameter it changes: its shape}."""
        return {one.parameter: one.shape for one in self.trained}

    def change(self, parameter: str, weight: torch.Tensor) -> Mapping[int, RowChange]:
        """Changes one parameter's values in place; see `surgery.changes.factors.Factored`."""
        return {one.layer: one.scaled(self.alpha).add_to(weight) for one in self.trained if one.parameter == parameter}

    def described(self) -> Mapping[str, object]:
        """Its settings, as JSON can hold them."""
        return {"alpha": self.alpha, "rank": self.rank}

    def new_weights(self, model: PreTrainedModel) -> Iterator[NewWeight]:
        """Each parameter with its change; the sum is taken in float32 and rounded once."""
        parameters = dict(model.named_parameters())
        for one in self.factors():
            values = parameter_of(parameters, one.parameter, one.shape).data.clone()
            # A placeholder has no values to add to; whoever takes this refuses it.
            if values.device.type != "meta":
                one.add_to(values)
            yield NewWeight(one.parameter, one.layer, values)

    def packed(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Its tensors and the rest of what it is, as a file can hold them."""
        tensors = {f"A.{one.parameter}": one.a for one in self.trained}
        tensors |= {f"B.{one.parameter}": one.b for one in self.trained}
        return tensors, {
            "alpha": self.alpha,
            "base_fingerprint": self.base_fingerprint,
            "layers": {one.parameter: one.layer for one in self.trained},
            "transposed": [one.parameter for one in self.trained if one.transposed],
            **({} if self.found == "trained" else {"found": self.found}),
        }

    @classmethod
    def unpacked(cls, tensors: dict[str, torch.Tensor], said: dict[str, Any]) -> "LowRankChange":
        """Of what `packed` gave; raises ValueError or KeyError for anything else."""
        transposed = set(said["transposed"])
        trained = tuple(
            Factors(name, layer, tensors.pop(f"A.{name}"), tensors.pop(f"B.{name}"), name in transposed)
            for name, layer in said["layers"].items()
        )
        if tensors:
            raise ValueError(f"it holds {', '.join(tensors)} besides")
        return cls(trained, said["base_fingerprint"], said["alpha"], said.get("found", "trained"))

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all: 4 bytes a number, r·(in + out) numbers a matrix."""
        write_intervention(path, self.FORMAT, *self.packed(), self.fingerprint)

    @classmethod
    def load(cls, path: str | Path) -> "LowRankChange":
        """Reads what `save` wrote; raises InputError for anything else."""
        return read_intervention(path, cls.FORMAT, cls.unpacked)
