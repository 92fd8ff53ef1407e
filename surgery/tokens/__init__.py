"""Texts as token ids: tokenizers, chat templates, and what is never appended."""

__all__ = [
    "chat",
    "encoding",
    "framing",
    "padding",
    "template_checks",
    "thinking",
    "tokenizer",
]
