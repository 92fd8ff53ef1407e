"""The behavior probe: fitted to hidden states, and whether it learned anything."""
