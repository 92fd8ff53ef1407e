"""Edits of tensors that lie in files: which edit touches which tensor, and the touched one's new bytes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from surgery.edit import Edit, Receipt
from surgery.errors import InputError
from surgery.safetensors_file import DTYPES, StoredTensor

# Numbers edited at a time: a few copies of them in float32, which the processor's cache holds, are all there is beside
# the tensor.
CHUNK = 1 << 18


@dataclass
class TensorEdits:
    """A chain of edits, oldest first, taken tensor by tensor (on several threads), and what they did so far.

    Attributes:
        edits: the chain.
        done: for each edit, {layer: (rows, largest |Δ|, sum of squared Δ)}.
    """

    edits: Sequence[Edit]
    done: list[dict[int, tuple[int, float, float]]] = field(init=False)

    def __post_init__(self) -> None:
        self.done = [{} for _ in self.edits]

    @property
    def touched(self) -> frozenset[str]:
        """The names of the tensors that change."""
        return frozenset(edit.region.homes[layer].parameter for edit in self.edits for layer in edit.region.layers)

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """One an edit, as applying it to the model gives."""
        return tuple(
            Receipt(
                {layer: layers[layer][0] for layer in sorted(layers)},
                sum(rows for rows, _, _ in layers.values()),
                max(largest for _, largest, _ in layers.values()),
                math.sqrt(sum(layers[layer][2] for layer in sorted(layers))),
            )
            for layers in self.done
        )

    def require_editable(self, tensors: Iterable[StoredTensor]) -> None:
        """Raises InputError unless all touched tensors are there, in the edits' shapes and an editable dtype."""
        found: Mapping[str, StoredTensor] = {tensor.name: tensor for tensor in tensors}
        for edit in self.edits:
            for layer in edit.region.layers:
                home = edit.region.homes[layer]
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
                if edit.direction.numel() != home.shape[1 - home.axis]:
                    raise InputError(
                        f"the direction has {edit.direction.numel()} entries, but {home.parameter} has shape "
                        f"{list(home.shape)}"
                    )

    @torch.no_grad()
    def change(self, stored: StoredTensor, data: memoryview) -> None:
        """Edits a tensor's bytes in place, by the formula and rounding of `Edit.edited`, one chunk of rows at a time.

        Raises:
            InputError: when a row would not change, or would hold NaN or infinite numbers.
        """
        weight = torch.frombuffer(data, dtype=DTYPES[stored.dtype]).view(stored.shape)
        for edit, done in zip(self.edits, self.done, strict=True):
            for layer in edit.region.layers:
                home = edit.region.homes[layer]
                if home.parameter != stored.name:
                    continue
                view = home.view(weight)
                size, largest, squares = max(1, CHUNK // view.shape[1]), 0.0, 0.0
                for rows in edit.region.rows[layer].cpu().split(size):
                    original = view.index_select(0, rows)
                    new = edit.edited(original)
                    difference = new.float() - original.float()
                    _require_change(difference, edit, stored)
                    view.index_copy_(0, rows, new)
                    largest = max(largest, float(difference.abs().max()))
                    squares += float(torch.linalg.vector_norm(difference, dtype=torch.float64)) ** 2
                done[layer] = (edit.region.rows[layer].numel(), largest, squares)


def _require_change(difference: torch.Tensor, edit: Edit, stored: StoredTensor) -> None:
    if not difference.isfinite().all():
        raise InputError(f"the edit makes NaN or infinite numbers in {stored.name} ({stored.dtype})")
    still = int((difference == 0).all(1).sum())
    if still:
        raise InputError(
            f"alpha={edit.alpha} leaves {still} rows of {stored.name} unchanged in {stored.dtype}; "
            "take a larger alpha or a base in float32"
        )
