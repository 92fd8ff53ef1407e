"""The behavior probe: fitted to hidden states, and whether it learned anything."""

__all__ = [
    "chance",
    "probe",
    "probe_fitting",
]
