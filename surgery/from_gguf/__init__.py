"""A model read from a GGUF file: its weights, shapes and tokenizer as transformers has them."""
