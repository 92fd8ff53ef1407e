"""Edits of tensors that lie in files: which edit touches which tensor, and the touched one's new bytes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from surgery.edit import Edit, Receipt
from surgery.errors import InputError
from surgery.row_change import RowChange, add_to_rows
from surgery.safetensors_file import DTYPES, StoredTensor


@dataclass
class TensorEdits:
    """A chain of edits, oldest first, taken tensor by tensor (on several threads), and what they did so far.

    Attributes:
        edits: the chain.
        done: for each edit, what it did to each layer's parameters: {(layer, parameter): change}.
    """

    edits: Sequence[Edit]
    done: list[dict[tuple[int, str], RowChange]] = field(init=False)

    def __post_init__(self) -> None:
        self.done = [{} for _ in self.edits]

    @property
    def touched(self) -> frozenset[str]:
        """The names of the tensors that change."""
        return frozenset(home.parameter for edit in self.edits for home, _ in edit.region.parts())

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """One an edit, as applying it to the model gives."""
        return tuple(
            Receipt(
                {
                    layer: sum(done[place].rows for place in done if place[0] == layer)
                    for layer in sorted({layer for layer, _ in done})
                },
                sum(change.rows for change in done.values()),
                max(change.largest for change in done.values()),
                math.sqrt(sum(done[place].squares for place in sorted(done))),
            )
            for done in self.done
        )

    def require_editable(self, tensors: Iterable[StoredTensor]) -> None:
        """Raises InputError unless all touched tensors are there, in the edits' shapes and an editable dtype."""
        found: Mapping[str, StoredTensor] = {tensor.name: tensor for tensor in tensors}
        for edit in self.edits:
            for home, _ in edit.region.parts():
                stored = found.get(home.parameter)
                if stored is None:
                    raise InputError(f"the base has no tensor {home.parameter}, which the edit changes")
                if stored.shape != home.shape:
                    raise InputError(
                        f"the base's {home.parameter} has shape {list(stored.shape)}, the edit's {list(home.shape)}"
                    )
                if stored.dtype not in DTYPES or stored.size != math.prod(home.shape) * DTYPES[stored.dtype].itemsize:
                    raise InputError(
                        f"the base's {home.parameter} is stored as {stored.dtype}, which can't be edited; "
                        f"take a checkpoint in one of {', '.join(DTYPES)}"
                    )
                if edit.direction.numel() != home.width:
                    raise InputError(
                        f"the direction has {edit.direction.numel()} entries, but {home.parameter} has shape "
                        f"{list(home.shape)}"
                    )

    @torch.no_grad()
    def change(self, stored: StoredTensor, data: memoryview) -> None:
        """Edits a tensor's bytes in place, as an edit is applied to a model in memory.

        Raises:
            InputError: when a row would not change, or would hold NaN or infinite numbers.
        """
        weight = torch.frombuffer(data, dtype=DTYPES[stored.dtype]).view(stored.shape)
        for edit, done in zip(self.edits, self.done, strict=True):
            for home, rows in edit.region.parts():
                if home.parameter == stored.name:
                    done[home.layer, home.parameter] = add_to_rows(home.view(weight), rows, edit.vector, home.parameter)
