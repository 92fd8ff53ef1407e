"""What stages made, keyed by content."""
