"""A bias on the gates of a region, in place of a change of their rows; no weight is touched."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel

from surgery.activity.module_outputs import module_of
from surgery.activity.neuron_activity import require_gates
from surgery.changes.direction import scaled
from surgery.changes.receipt import Receipt
from surgery.edits.intervention_file import read_intervention, write_intervention
from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_parts
from surgery.model.fingerprints import pop_edit, push_edit, require_base, tensor_bytes
from surgery.region.region import Region


@dataclass(frozen=True, eq=False)
class GateBias:
    """z ← z + α·(v·x̄) for the gate pre-activation z of every row of a region.

    Equation 3 adds α·v to such a row, so that z grows by α·(v·x) at a token whose input is x; this is its mean.

    Attributes:
        direction: v, float32 [d], of the behavior to move away from.
        alpha: any finite number but 0, as in `Edit`.
        region: rows of gate_proj.
        means: x̄ {parameter of the region's gates: float32 [d]}, what the gate reads on average.
        alpha_unit: `raw` or `unit`, as in `Edit`.
    """

    FORMAT: ClassVar[str] = "surgery.gate_bias/1"

    direction: torch.Tensor
    alpha: float
    region: Region
    means: Mapping[str, torch.Tensor]
    alpha_unit: str = "raw"

    def __post_init__(self) -> None:
        scaled(self.direction, self.alpha, self.alpha_unit)
        require_gates(self.region)
        if missing := [home.parameter for home, _ in self.region.parts() if home.parameter not in self.means]:
            raise InputError(f"there is no mean input of {missing[0]}, so its bias can't be told")

    def __str__(self) -> str:
        return f"a bias on the gates of {self.region.how}"

    @property
    def base_fingerprint(self) -> str:
        """Of the model whose rows were ranked."""
        return self.region.model_fingerprint

    def bias(self, parameter: str) -> float:
        """What is added to the pre-activations of a gate's rows."""
        return float(scaled(self.direction, self.alpha, self.alpha_unit) @ self.means[parameter].float())

    @property
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""
        parts: list[str | bytes] = [self.FORMAT, self.region.fingerprint, tensor_bytes(self.direction.float())]
        parts += [float(self.alpha).hex(), self.alpha_unit]
        for home, _ in self.region.parts():
            parts += [home.parameter, tensor_bytes(self.means[home.parameter])]
        return sha256_of_parts(parts)

    @contextmanager
    def applied_to(self, model: PreTrainedModel) -> Iterator[Receipt]:
        """Adds the bias for the body of a `with`; afterwards nothing of it is left.

        The sum is taken in float32 and rounded once.

        Raises:
            InputError: when the model is not the one it was made for, or a gate is not a linear layer of its own.
        """
        base = require_base(model, self.base_fingerprint)
        parts = [(module_of(model, home), home, rows) for home, rows in self.region.parts()]
        biases = {home.parameter: self.bias(home.parameter) for _, home, _ in parts}
        push_edit(model, self.fingerprint, base)
        # First of the module's hooks, so that whoever counts active neurons sees the biased ones.
        handles = [
            module.register_forward_hook(_adding(home.start + home.step * rows, biases[home.parameter]), prepend=True)
            for module, home, rows in parts
        ]
        try:
            norm = sqrt(sum(rows.numel() * biases[home.parameter] ** 2 for _, home, rows in parts))
            yield Receipt(dict.fromkeys(self.region.layers, 0), 0, max(map(abs, biases.values())), norm)
        finally:
            for handle in handles:
                handle.remove()
            pop_edit(model, self.fingerprint)

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all."""
        said = {"alpha": self.alpha, "alpha_unit": self.alpha_unit, "region": self.region.described()}
        used = {home.parameter for home, _ in self.region.parts()}
        tensors = {**self.region.tensors(), "direction": self.direction.float()}
        tensors |= {f"mean.{parameter}": self.means[parameter] for parameter in sorted(used)}
        write_intervention(path, self.FORMAT, tensors, said, self.fingerprint)

    @classmethod
    def load(cls, path: str | Path) -> "GateBias":
        """Reads what `save` wrote; raises InputError for anything else."""

        def made(tensors: dict[str, torch.Tensor], said: dict[str, Any]) -> GateBias:
            region = Region.read(tensors, said["region"])
            means = {name.removeprefix("mean."): mean for name, mean in tensors.items() if name.startswith("mean.")}
            return cls(tensors["direction"], said["alpha"], region, means, said["alpha_unit"])

        return read_intervention(path, cls.FORMAT, made)


def _adding(places: torch.Tensor, bias: float) -> Callable[..., torch.Tensor]:
    """A hook that adds a bias to some entries of what a linear layer puts out."""

    def add(module: torch.nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
        at = places.to(output.device)
        moved = output.clone()
        moved[..., at] = (output[..., at].float() + bias).to(output.dtype)
        return moved

    return add
