"""Which rows may be chosen, and how many: rules that need no model."""

from surgery.errors import InputError

# The paper edits 16,384 of 352,256 rows (Table 14).
PAPER_SHARE = 16_384 / 352_256


def layers_without_quarter(depth: int, quarter: int) -> list[int]:
    """The layers outside a quarter of the depth (Table 9): quarter 1 of 32 layers is 1 to 8.

    Raises:
        InputError: when the quarter is not 1..4, or nothing would be left out.
    """
    if quarter not in (1, 2, 3, 4):
        raise InputError(f"region.exclude_quarter={quarter} is not a quarter; it is one of 1, 2, 3, 4")
    first, last = round((quarter - 1) * depth / 4) + 1, round(quarter * depth / 4)
    if last < first:
        raise InputError(f"region.exclude_quarter={quarter} leaves out no layer of a model that has {depth}")
    return [layer for layer in range(1, depth + 1) if not first <= layer <= last]


def require_top_k(top_k: int, rows: int, component: str) -> None:
    """Raises InputError unless 1 <= top_k <= rows."""
    if not 1 <= top_k <= rows:
        raise InputError(
            f"top_k={top_k} is not possible: there are {rows} {component} rows to choose from, so 1 to {rows}"
        )
