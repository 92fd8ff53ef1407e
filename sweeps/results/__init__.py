"""Reading many cells: the best, the front, pooled seeds, broken text, false discoveries."""
