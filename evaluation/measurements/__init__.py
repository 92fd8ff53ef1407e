"""What an evaluator returns, and the file it is kept in."""
