"""Edits as GGUF: what llama.cpp and Ollama read."""
