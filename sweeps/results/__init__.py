"""Reading many cells: the best, the front, pooled seeds, broken text, false discoveries."""

__all__ = [
    "best_cell",
    "broken_text",
    "cell_selector",
    "diagnosis",
    "difference",
    "false_discoveries",
    "giving_up",
    "headlines",
    "pairing",
    "pareto",
    "pooling",
    "possible_values",
    "protocols",
    "random_cosines",
    "trade_off",
]
