"""What serves the tests and the docs, and is not installed."""
