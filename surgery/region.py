"""A behavior region: which rows of which layers, as data."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from surgery.errors import InputError
from surgery.files import sha256_of_parts
from surgery.fingerprints import tensor_bytes
from surgery.locator import Rows


@dataclass(frozen=True, eq=False)
class Region:
    """The rows an edit touches.

    Attributes:
        rows: {layer: sorted row indices, int64 [k]}; layers without a selected row are absent.
        homes: for each of these layers, the parameter its rows come from and its slice, so that an edit can be
            written without the model.
        component: `gate_proj` and the like.
        how: how it was chosen, in words.
        model_fingerprint: of the model whose rows were ranked.
    """

    rows: Mapping[int, torch.Tensor]
    homes: Mapping[int, Rows]
    component: str
    how: str
    model_fingerprint: str

    def __post_init__(self) -> None:
        if not self.rows:
            raise InputError("the region holds no rows, so there is nothing to edit")
        for layer, rows in self.rows.items():
            if rows.numel() == 0 or int(rows.min()) < 0 or int(rows.max()) >= self.homes[layer].count:
                raise InputError(f"the region's rows of layer {layer} are not rows of {self.homes[layer].parameter}")
            if (rows.diff() <= 0).any():
                raise InputError(f"the region's rows of layer {layer} are not sorted, or repeat")

    def __len__(self) -> int:
        return sum(rows.numel() for rows in self.rows.values())

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers it touches, lowest first."""
        return tuple(sorted(self.rows))

    @property
    def fingerprint(self) -> str:
        """Of the model and the rows, however they were chosen."""
        parts: list[str | bytes] = [self.model_fingerprint, self.component]
        for layer in self.layers:
            parts += [repr(self.homes[layer]), tensor_bytes(self.rows[layer].to(torch.int64))]
        return sha256_of_parts(parts)
