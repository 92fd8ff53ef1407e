"""Steering: h ← h − α·v after some blocks, at every token and every step; no weight is touched."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel

from surgery.changes.direction import scaled
from surgery.changes.receipt import Receipt
from surgery.edits.intervention_file import read_intervention, write_intervention
from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_parts
from surgery.model.fingerprints import pop_edit, push_edit, require_base, tensor_bytes
from surgery.rows.locator import decoder_blocks


class BlockSteering(ABC):
    """Adds a vector to the output of some blocks while the model runs.

    Attributes:
        base_fingerprint: of the model the directions were found in.
    """

    base_fingerprint: str

    @property
    @abstractmethod
    def vectors(self) -> Mapping[int, torch.Tensor]:
        """{layer 1..L: what is added to its block's output at each token, float32 [d]}."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""

    @contextmanager
    def applied_to(self, model: PreTrainedModel) -> Iterator[Receipt]:
        """Steers the model for the body of a `with`; afterwards nothing of it is left.

        The sum is taken in float32 and rounded once. The last block's output is changed before the final norm.

        Raises:
            InputError: when the model is not the one it was made for, or has no such layer or another width.
        """
        base = require_base(model, self.base_fingerprint)
        blocks, vectors = decoder_blocks(model), self.vectors
        width = model.config.get_text_config().hidden_size
        for layer, vector in vectors.items():
            if not 1 <= layer <= len(blocks):
                raise InputError(f"layer={layer} is not in this model: its layers are 1 to {len(blocks)}")
            if vector.numel() != width:
                raise InputError(f"the direction has {vector.numel()} entries, but this model is {width} wide")
        push_edit(model, self.fingerprint, base)
        # First of the block's hooks, so that whoever reads its output reads it steered.
        handles = [
            blocks[layer - 1].register_forward_hook(_adding(vector), prepend=True) for layer, vector in vectors.items()
        ]
        try:
            every = torch.stack(list(vectors.values()))
            yield Receipt(dict.fromkeys(vectors, 0), 0, float(every.abs().max()), float(every.norm()))
        finally:
            for handle in handles:
                handle.remove()
            pop_edit(model, self.fingerprint)


def _adding(vector: torch.Tensor) -> Callable[[torch.nn.Module, object, Any], Any]:
    def steer(module: torch.nn.Module, args: object, output: Any) -> Any:
        states = output if isinstance(output, torch.Tensor) else output[0]
        moved = (states.float() + vector.to(states.device)).to(states.dtype)
        return moved if isinstance(output, torch.Tensor) else (moved, *output[1:])

    return steer


@dataclass(frozen=True, eq=False)
class Steering(BlockSteering):
    """Feature subtraction (Table 2), with the probe after the last block; activation addition, with the difference of
    class means after some block (Turner et al. 2023; Rimsky et al. 2024).

    Attributes:
        direction: float32 [d], of the behavior to move away from.
        alpha: any finite number but 0; positive moves away from the behavior, as in surgery.
        layer: 1..L; the block whose output is changed. The last block's is changed before the final norm.
        base_fingerprint: of the model the direction was found in.
        alpha_unit: `raw` or `unit`, as in `Edit`.
    """

    FORMAT: ClassVar[str] = "surgery.steering/1"

    direction: torch.Tensor
    alpha: float
    layer: int
    base_fingerprint: str
    alpha_unit: str = "raw"

    def __post_init__(self) -> None:
        scaled(self.direction, self.alpha, self.alpha_unit)

    def __str__(self) -> str:
        return f"the output of block {self.layer}"

    @property
    def vector(self) -> torch.Tensor:
        """What is added to the block's output at each token, float32 [d]: −α·v."""
        return -scaled(self.direction, self.alpha, self.alpha_unit)

    @property
    def vectors(self) -> Mapping[int, torch.Tensor]:
        """That of the one block."""
        return {self.layer: self.vector}

    @property
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""
        direction = tensor_bytes(self.direction.float())
        return sha256_of_parts(
            [self.FORMAT, self.base_fingerprint, direction, float(self.alpha).hex(), self.alpha_unit, str(self.layer)]
        )

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all."""
        said = {
            "alpha": self.alpha,
            "alpha_unit": self.alpha_unit,
            "layer": self.layer,
            "base_fingerprint": self.base_fingerprint,
        }
        write_intervention(path, self.FORMAT, {"direction": self.direction.float()}, said, self.fingerprint)

    @classmethod
    def load(cls, path: str | Path) -> "Steering":
        """Reads what `save` wrote; raises InputError for anything else."""
        return read_intervention(path, cls.FORMAT, lambda tensors, said: cls(tensors["direction"], **said))


@dataclass(frozen=True, eq=False)
class LayeredSteering(BlockSteering):
    """Contrastive activation addition at several layers, each along a direction of its own (Rimsky et al. 2024).

    Attributes:
        directions: {layer 1..L: float32 [d]}, of the behavior to move away from.
        alpha: any finite number but 0, the same at each layer; positive moves away from the behavior.
        base_fingerprint: of the model the directions were found in.
        alpha_unit: `raw` or `unit`, as in `Edit`.
    """

    FORMAT: ClassVar[str] = "surgery.layered_steering/1"

    directions: Mapping[int, torch.Tensor]
    alpha: float
    base_fingerprint: str
    alpha_unit: str = "raw"

    def __post_init__(self) -> None:
        if not self.directions:
            raise InputError("there is no layer to steer; give at least one direction")
        for direction in self.directions.values():
            scaled(direction, self.alpha, self.alpha_unit)

    def __str__(self) -> str:
        return f"the output of blocks {', '.join(map(str, sorted(self.directions)))}"

    @property
    def vectors(self) -> Mapping[int, torch.Tensor]:
        """Of each layer −α·v, lowest first."""
        return {
            layer: -scaled(direction, self.alpha, self.alpha_unit)
            for layer, direction in sorted(self.directions.items())
        }

    @property
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""
        parts: list[str | bytes] = [self.FORMAT, self.base_fingerprint, float(self.alpha).hex(), self.alpha_unit]
        for layer, direction in sorted(self.directions.items()):
            parts += [str(layer), tensor_bytes(direction.float())]
        return sha256_of_parts(parts)

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all."""
        said = {"alpha": self.alpha, "alpha_unit": self.alpha_unit, "base_fingerprint": self.base_fingerprint}
        # Each its own: layers that share a direction may share its memory, which safetensors refuses.
        tensors = {str(layer): direction.float().clone() for layer, direction in self.directions.items()}
        write_intervention(path, self.FORMAT, tensors, said, self.fingerprint)

    @classmethod
    def load(cls, path: str | Path) -> "LayeredSteering":
        """Reads what `save` wrote; raises InputError for anything else."""
        return read_intervention(
            path, cls.FORMAT, lambda tensors, said: cls({int(layer): one for layer, one in tensors.items()}, **said)
        )
