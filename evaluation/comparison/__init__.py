"""Base against edited: differences, paired intervals and p-values."""
