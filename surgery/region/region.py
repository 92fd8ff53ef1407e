"""A behavior region: which rows of which layers, as data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch

from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_parts
from surgery.model.fingerprints import tensor_bytes
from surgery.rows.rows import Homes, Rows, homes_from_json, homes_to_json, split_by_home


@dataclass(frozen=True, eq=False)
class Region:
    """The rows an edit touches.

    Attributes:
        rows: {layer: sorted row indices, int64 [k]}; layers without a selected row are absent. Where a layer's rows
            have several homes they are numbered through them: the first home's, then the second's.
        homes: for each of these layers, the parameters its rows come from and their slices, so that an edit can be
            written without the model.
        component: `gate_proj` and the like.
        how: how it was chosen, in words.
        model_fingerprint: of the model whose rows were ranked.
    """

    rows: Mapping[int, torch.Tensor]
    homes: Mapping[int, Homes]
    component: str
    how: str
    model_fingerprint: str

    def __post_init__(self) -> None:
        if not self.rows:
            raise InputError("the region holds no rows, so there is nothing to edit")
        for layer, rows in self.rows.items():
            homes = self.homes[layer]
            if rows.numel() == 0 or int(rows.min()) < 0 or int(rows.max()) >= sum(home.total for home in homes):
                names = ", ".join(home.parameter for home in homes)
                raise InputError(f"the region's rows of layer {layer} are not rows of {names}")
            if (rows.diff() <= 0).any():
                raise InputError(f"the region's rows of layer {layer} are not sorted, or repeat")

    def __len__(self) -> int:
        return sum(rows.numel() for rows in self.rows.values())

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers it touches, lowest first."""
        return tuple(sorted(self.rows))

    def parts(self) -> Iterator[tuple[Rows, torch.Tensor]]:
        """Its rows by the parameter they lie in, lowest layer first: (home, indices among the home's rows [k])."""
        for layer in self.layers:
            yield from split_by_home(self.homes[layer], self.rows[layer])

    @property
    def fingerprint(self) -> str:
        """Of the model and the rows, however they were chosen."""
        parts: list[str | bytes] = [self.model_fingerprint, self.component]
        for layer in self.layers:
            parts += [*(home.identity() for home in self.homes[layer]), tensor_bytes(self.rows[layer].to(torch.int64))]
        return sha256_of_parts(parts)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a file of something done to these rows holds of them, beside what `described` says."""
        return {f"rows.{layer}": rows.to(torch.int32) for layer, rows in self.rows.items()}

    def described(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "component": self.component,
            "how": self.how,
            "model_fingerprint": self.model_fingerprint,
            "homes": homes_to_json(self.homes),
        }

    @classmethod
    def read(cls, tensors: Mapping[str, torch.Tensor], said: Mapping[str, Any]) -> Self:
        """The reverse of both; raises TypeError, KeyError, ValueError or InputError for what they did not make."""
        homes = homes_from_json(said["homes"])
        rows = {layer: tensors[f"rows.{layer}"].long() for layer in homes}
        return cls(rows, homes, said["component"], said["how"], said["model_fingerprint"])
