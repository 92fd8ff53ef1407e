"""Edits as GGUF: what llama.cpp and Ollama read."""

__all__ = [
    "gguf_content",
    "gguf_export",
    "gguf_layout",
    "gguf_llama",
    "stored_weight",
]
