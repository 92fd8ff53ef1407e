"""Texts as token ids: tokenizers, chat templates, and what is never appended."""

__all__ = [
    "chat",
    "encoding",
    "padding",
    "tokenizer",
]
