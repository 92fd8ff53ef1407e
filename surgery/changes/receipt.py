"""What applying an intervention did, in numbers."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from surgery.changes.row_change import RowChange
from surgery.errors import InputError


@dataclass(frozen=True)
class Receipt:
    """What applying an edit, or another intervention, did.

    Attributes:
        rows_per_layer: {layer: rows changed}.
        rows: changed rows in all.
        max_abs_change: largest |Δ| of an entry.
        frobenius_norm: of the whole change.
    """

    rows_per_layer: Mapping[int, int]
    rows: int
    max_abs_change: float
    frobenius_norm: float

    @classmethod
    def of(cls, changes: Iterable[tuple[int, RowChange]]) -> "Receipt":
        """From (layer, what was done) of every parameter; raises InputError when that is nothing."""
        changes, rows = list(changes), dict[int, int]()
        for layer, change in changes:
            rows[layer] = rows.get(layer, 0) + change.rows
        if not sum(rows.values()):
            raise InputError("no weight would change; take a larger alpha, or the model in float32")
        return cls(
            dict(sorted(rows.items())),
            sum(rows.values()),
            max(change.largest for _, change in changes),
            math.sqrt(sum(change.squares for _, change in changes)),
        )
