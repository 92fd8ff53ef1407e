"""How a command ends when cells failed."""


class CellsFailed(Exception):
    """Some cells failed; each was shown when it did."""
