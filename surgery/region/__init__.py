"""The behavior region: the order of all rows, and those that are edited."""
