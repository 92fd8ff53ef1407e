"""Candidate rows as data: which vectors of length d, in which slice of which parameter."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch


@dataclass(frozen=True)
class Rows:
    """Candidate rows of one layer that lie in one parameter.

    Attributes:
        layer: 1..L.
        parameter: its name in `model.named_parameters()`.
        shape: the parameter's whole shape: [out, in], or [experts, ., .] for experts in one tensor.
        axis: the axis that the candidates are counted along; each is a vector along the other one of the last two.
        start, count: the first of that axis, and how many there are (of each expert).
        step: 2 where they alternate with others.
    """

    layer: int
    parameter: str
    shape: tuple[int, ...]
    axis: int
    start: int
    count: int
    step: int = 1

    def identity(self) -> str:
        """What region fingerprints are made of; its first word is raised when the same rows are told otherwise."""
        return json.dumps(["rows/1", *(getattr(self, field.name) for field in fields(self))])

    def as_dict(self) -> dict[str, Any]:
        """What `Rows(**...)` takes, as JSON can hold it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if (name, value) != ("step", 1)}

    @property
    def experts(self) -> int:
        """How many experts the parameter holds; 1 for a matrix."""
        return self.shape[0] if len(self.shape) == 3 else 1

    @property
    def total(self) -> int:
        """How many candidates there are in all; the first expert's come first."""
        return self.experts * self.count

    @property
    def width(self) -> int:
        """d, the length of each."""
        return self.shape[-2:][1 - (self.axis - len(self.shape) + 2)]

    def view(self, weight: torch.Tensor) -> torch.Tensor:
        """The candidates as a view [experts, count, d] of the parameter: writing to it writes to the weight."""
        place = [slice(None)] * weight.dim()
        place[self.axis] = slice(self.start, self.start + self.step * self.count, self.step)
        part = weight[tuple(place)].transpose(self.axis, -2)
        return part if part.dim() == 3 else part.unsqueeze(0)


# The parameters that hold one layer's candidates. The layer's rows are numbered through them in this order.
Homes = tuple[Rows, ...]


def split_by_home(homes: Homes, rows: torch.Tensor) -> Iterator[tuple[Rows, torch.Tensor]]:
    """Which of a layer's sorted rows lie in which home, numbered from the home's first; homes without any left out."""
    start = 0
    for home in homes:
        own = rows[(rows >= start) & (rows < start + home.total)] - start
        if own.numel():
            yield home, own
        start += home.total


def read_rows(view: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """A copy [k, d] of the rows of a view [experts, count, d]."""
    if len(view) == 1:
        return view[0].index_select(0, rows)
    return view[rows // view.shape[1], rows % view.shape[1]]


def norms_of(rows: torch.Tensor) -> torch.Tensor:
    """The Euclidean norm of each of some vectors [..., d], float32."""
    norms: torch.Tensor = torch.linalg.vector_norm(rows.float(), dim=-1)
    return norms


def write_rows(view: torch.Tensor, rows: torch.Tensor, values: torch.Tensor) -> None:
    """Puts values [k, d] into the rows of a view [experts, count, d]."""
    if len(view) == 1:
        view[0].index_copy_(0, rows, values)
    else:
        view[rows // view.shape[1], rows % view.shape[1]] = values


def homes_to_json(homes: Mapping[int, Homes]) -> dict[int, Any]:
    """{layer: its home, or a list where there are several}."""
    return {
        layer: found[0].as_dict() if len(found) == 1 else [home.as_dict() for home in found]
        for layer, found in homes.items()
    }


def homes_from_json(said: Mapping[str, Any]) -> dict[int, Homes]:
    """The reverse; raises TypeError, KeyError or ValueError for what `homes_to_json` did not make."""

    def read(found: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Homes:
        one_each = [found] if isinstance(found, Mapping) else found
        return tuple(Rows(**{**home, "shape": tuple(home["shape"])}) for home in one_each)

    return {int(layer): read(found) for layer, found in said.items()}
