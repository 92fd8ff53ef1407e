"""Everything that needs no loaded model: what the cells of a command are, and what they share."""
