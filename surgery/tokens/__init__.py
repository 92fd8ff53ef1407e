"""Texts as token ids: tokenizers, chat templates, and what is never appended."""
