"""Adding a vector to rows of a weight, and making sure that it did something to each."""

from dataclasses import dataclass

import torch

from surgery.errors import InputError
from surgery.rows.rows import read_rows, write_rows

# Numbers edited at a time: a few copies of them in float32, which a core's cache holds, are all there is beside the
# weight.
NUMBERS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class RowChange:
    """What was done to rows: how many, the largest |change|, the sum of the squared changes."""

    rows: int
    largest: float
    squares: float


def add_to_rows(view: torch.Tensor, rows: torch.Tensor, vector: torch.Tensor, parameter: str) -> RowChange:
    """Adds a vector to some rows in place (Equation 3); the sum is taken in float32 and rounded once.

    Args:
        view: [experts, n, d], any floating dtype.
        rows: indices [k], the first expert's first.
        vector: float32 [d].
        parameter: the weight's name, for what is said when it goes wrong.

    Raises:
        InputError: when a row would not change, or would hold NaN or infinite numbers; some rows are written by then.
    """
    rows, vector = rows.to(view.device), vector.to(view.device)
    at_once = max(1, NUMBERS_AT_ONCE // view.shape[-1])
    still, largest, squares = 0, 0.0, 0.0
    for piece in rows.split(at_once):
        values = read_rows(view, piece).float()
        new = (values + vector).to(view.dtype)
        change = values.sub_(new).abs_()
        most = change.amax(dim=1)
        if not most.isfinite().all():
            raise InputError(f"the edit makes NaN or infinite numbers in {parameter} ({view.dtype})")
        still += int((most == 0).sum())
        largest = max(largest, float(most.max()))
        squares += float(torch.linalg.vector_norm(change, dim=1).double().square().sum())
        write_rows(view, piece, new)
    if still:
        raise InputError(
            f"the edit leaves {still} of {rows.numel()} rows of {parameter} unchanged in {view.dtype}; "
            "take a larger alpha, or the model in float32"
        )
    return RowChange(rows.numel(), largest, squares)
