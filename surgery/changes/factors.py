"""The change of a matrix as a product of two thin ones, and what all changes of that kind can do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from surgery.changes.row_change import NUMBERS_AT_ONCE, RowChange
from surgery.errors import InputError


@dataclass(frozen=True, eq=False)
class Factors:
    """One parameter's change, B·A.

    Attributes:
        parameter: its name in `model.named_parameters()`.
        layer: 1..L, or 0 outside the blocks.
        a: float32 [r, in].
        b: float32 [out, r].
        transposed: the parameter is kept as [in, out], as in the Conv1D modules of GPT-2, and not as [out, in].
    """

    parameter: str
    layer: int
    a: torch.Tensor
    b: torch.Tensor
    transposed: bool = False

    def __post_init__(self) -> None:
        a, b = self.a, self.b
        if not isinstance(self.layer, int) or self.layer < 0:
            raise InputError(f"{self.parameter} is of layer {self.layer}, which is no layer")
        if a.dtype != torch.float32 or b.dtype != torch.float32 or a.dim() != 2 or b.dim() != 2 or len(a) != b.shape[1]:
            raise InputError(
                f"{self.parameter}: factors {list(a.shape)} ({a.dtype}) and {list(b.shape)} ({b.dtype}) are not the A "
                "[r, in] and B [out, r] in float32 of a change"
            )
        if not (a.isfinite().all() and b.isfinite().all()):
            raise InputError(f"the change of {self.parameter} has NaN or infinite factors; take a smaller alpha")

    @property
    def rank(self) -> int:
        """r."""
        return len(self.a)

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's."""
        size = len(self.b), self.a.shape[1]
        return size[::-1] if self.transposed else size

    @property
    def module(self) -> str:
        """The module that owns the parameter, as PEFT names it; raises InputError, see `module_of`."""
        return module_of(self.parameter, self.layer, self.shape)

    def scaled(self, alpha: float) -> "Factors":
        """Those of alpha·B·A."""
        return replace(self, b=alpha * self.b)

    def add_to(self, weight: torch.Tensor) -> RowChange:
        """Adds B·A to the parameter in place; the sum is taken in float32 and rounded once.

        Term by term: a library's matrix product may sum in another order on another device or number of threads, and
        a checkpoint has to hold the very bits that were measured.

        Args:
            weight: the parameter's values, any floating dtype.

        Returns:
            How many rows of the weight came out another than they were, the largest |change| and the sum of squares.

        Raises:
            InputError: where it would hold NaN or infinite numbers; a part is written by then.
        """
        left, right = (self.a.T, self.b.T) if self.transposed else (self.b, self.a)
        left, right = left.to(weight.device), right.to(weight.device)
        at_once = max(1, NUMBERS_AT_ONCE // weight.shape[1])
        rows, largest, squares = 0, 0.0, 0.0
        for piece, terms in zip(weight.split(at_once), left.split(at_once), strict=True):
            product = torch.zeros(piece.shape, device=weight.device)
            for term in range(self.rank):
                product += terms[:, term : term + 1] * right[term]
            new = (piece.float() + product).to(weight.dtype)
            change = (new.float() - piece.float()).abs_()
            most = change.amax(dim=1)
            if not most.isfinite().all():
                raise InputError(f"the change makes NaN or infinite numbers in {self.parameter} ({weight.dtype})")
            rows += int((most != 0).sum())
            largest = max(largest, float(most.max()))
            squares += float(change.double().square().sum())
            piece.copy_(new)
        return RowChange(rows, largest, squares)


class Factored(Protocol):
    """A change of weights that is a product of thin matrices: an `Edit` (rank 1) or a `LowRankChange`.

    It can be written as an adapter, and into files tensor by tensor, without the model.
    """

    @property
    def base_fingerprint(self) -> str:
        """Of the model it was made for."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""
        ...

    @property
    def rank(self) -> int:
        """Of the change of any one parameter, at most."""
        ...

    def factors(self) -> Iterator[Factors]:
        """Of the whole change, alpha in them; raises InputError where a parameter is no module's matrix."""
        ...

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """{parameter it changes: its shape}."""
        ...

    def change(self, parameter: str, weight: torch.Tensor) -> Mapping[int, RowChange]:
        """Changes one parameter's values in place: {layer: what was done}, empty where it leaves it alone.

        Raises:
            InputError: where it would hold NaN or infinite numbers, or an edit's row would not change.
        """
        ...

    def described(self) -> Mapping[str, object]:
        """Its settings, as JSON can hold them."""
        ...


def module_of(parameter: str, layer: int, shape: tuple[int, ...]) -> str:
    """The module whose matrix a parameter is; raises InputError where it is none's, so that no adapter has a place."""
    if len(shape) != 2 or not parameter.endswith(".weight"):
        raise InputError(
            f"the rows of layer {layer} are in {parameter} {list(shape)}, which is no module's matrix, "
            "so a LoRA adapter can't carry them; export a checkpoint instead"
        )
    return parameter.removesuffix(".weight")
