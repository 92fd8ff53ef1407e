"""Steering: h ← h − α·v after one block, at every token and every step; no weight is touched."""

from collections.abc import Iterator
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


@dataclass(frozen=True, eq=False)
class Steering:
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
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""
        direction = tensor_bytes(self.direction.float())
        return sha256_of_parts(
            [self.FORMAT, self.base_fingerprint, direction, float(self.alpha).hex(), self.alpha_unit, str(self.layer)]
        )

    @contextmanager
    def applied_to(self, model: PreTrainedModel) -> Iterator[Receipt]:
        """Steers the model for the body of a `with`; afterwards nothing of it is left.

        The sum is taken in float32 and rounded once.

        Raises:
            InputError: when the model is not the one it was made for, or has no such layer or another width.
        """
        base = require_base(model, self.base_fingerprint)
        blocks, vector = decoder_blocks(model), self.vector
        width = model.config.get_text_config().hidden_size
        if not 1 <= self.layer <= len(blocks):
            raise InputError(f"layer={self.layer} is not in this model: its layers are 1 to {len(blocks)}")
        if vector.numel() != width:
            raise InputError(f"the direction has {vector.numel()} entries, but this model is {width} wide")

        def steer(module: torch.nn.Module, args: object, output: Any) -> Any:
            states = output if isinstance(output, torch.Tensor) else output[0]
            moved = (states.float() + vector.to(states.device)).to(states.dtype)
            return moved if isinstance(output, torch.Tensor) else (moved, *output[1:])

        push_edit(model, self.fingerprint, base)
        # First of the block's hooks, so that whoever reads its output reads it steered.
        handle = blocks[self.layer - 1].register_forward_hook(steer, prepend=True)
        try:
            yield Receipt({self.layer: 0}, 0, float(vector.abs().max()), float(vector.norm()))
        finally:
            handle.remove()
            pop_edit(model, self.fingerprint)

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
