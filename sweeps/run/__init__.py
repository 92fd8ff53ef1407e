"""One cell, from hidden states to its record."""
