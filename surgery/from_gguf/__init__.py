"""A model read from a GGUF file: its weights, shapes and tokenizer as transformers has them."""

__all__ = [
    "gguf_model",
    "gguf_rope",
    "gguf_tokenizer",
]
