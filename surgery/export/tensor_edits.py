"""Edits of tensors that lie in files: which edit touches which tensor, and the touched one's new bytes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from surgery.changes.factors import Factored
from surgery.changes.receipt import Receipt
from surgery.changes.row_change import RowChange
from surgery.errors import InputError
from surgery.files.safetensors_file import DTYPES, StoredTensor


@dataclass
class TensorEdits:
    """A chain of edits, oldest first, taken tensor by tensor (on several threads), and what they did so far.

    Attributes:
        edits: the chain.
        done: for each edit, what it did to each layer's parameters: {(layer, parameter): change}.
    """

    edits: Sequence[Factored]
    done: list[dict[tuple[int, str], RowChange]] = field(init=False)

    def __post_init__(self) -> None:
        self.done = [{} for _ in self.edits]

    @property
    def touched(self) -> frozenset[str]:
        """The names of the tensors that change."""
        return frozenset(name for edit in self.edits for name in edit.shapes())

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """One an edit, as applying it to the model gives; raises InputError for one that changed nothing."""
        return tuple(Receipt.of((place[0], done[place]) for place in sorted(done)) for done in self.done)

    def require_editable(self, tensors: Iterable[StoredTensor]) -> None:
        """Raises InputError unless all touched tensors are there, in the edits' shapes and an editable dtype."""
        found: Mapping[str, StoredTensor] = {tensor.name: tensor for tensor in tensors}
        for edit in self.edits:
            for name, shape in edit.shapes().items():
                stored = found.get(name)
                if stored is None:
                    raise InputError(f"the base has no tensor {name}, which the edit changes")
                if stored.shape != shape:
                    raise InputError(f"the base's {name} has shape {list(stored.shape)}, the edit's {list(shape)}")
                if stored.dtype not in DTYPES or stored.size != math.prod(shape) * DTYPES[stored.dtype].itemsize:
                    raise InputError(
                        f"the base's {name} is stored as {stored.dtype}, which can't be edited; "
                        f"take a checkpoint in one of {', '.join(DTYPES)}"
                    )

    @torch.no_grad()
    def change(self, stored: StoredTensor, data: memoryview) -> None:
        """Edits a tensor's bytes in place, as an edit is applied to a model in memory.

        Raises:
            InputError: when a row of an edit would not change, or one would hold NaN or infinite numbers.
        """
        weight = torch.frombuffer(data, dtype=DTYPES[stored.dtype]).view(stored.shape)
        for edit, done in zip(self.edits, self.done, strict=True):
            for layer, change in edit.change(stored.name, weight).items():
                done[layer, stored.name] = change
