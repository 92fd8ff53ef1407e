"""A model: from a folder, a GGUF file or the hub into memory, and what it is in a few digits."""

__all__ = [
    "digest_cache",
    "fingerprints",
    "gguf_identity",
    "loading",
    "model_files",
    "model_identity",
    "offload",
    "quantisation",
    "shared_copy",
    "weight_digests",
]
