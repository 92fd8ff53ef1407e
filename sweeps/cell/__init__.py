"""One experiment, resolved and validated: its settings and its id."""
