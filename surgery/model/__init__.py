"""A model: from a folder, a GGUF file or the hub into memory, and what it is in a few digits."""
