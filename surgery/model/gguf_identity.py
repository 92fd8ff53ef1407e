"""What a model in a GGUF file is: its weights, its config, and how it reads text, each told apart from the others."""

import hashlib
from collections.abc import Iterator

from transformers import PreTrainedModel

from surgery.errors import InputError
from surgery.files.gguf_file import GgufFile
from surgery.files.hashed_file import hash_of_part
from surgery.from_gguf.gguf_model import gguf_skeleton
from surgery.model.digest_cache import Keep, keep_by_files, keep_in_process
from surgery.model.model_identity import ModelIdentity, config_digest
from surgery.model.weight_digests import TensorDigest, combined

# Raised when the same file would have another digest than before.
VERSION = 1
_TEMPLATE = "tokenizer.chat_template"


def gguf_identity(file: GgufFile, shapes: PreTrainedModel | None = None, keep: Keep = keep_in_process) -> ModelIdentity:
    """All that the model in a file is.

    Args:
        file: its header.
        shapes: its skeleton, where the caller has one.
        keep: where the digest of the weights is kept.

    Raises:
        InputError: when transformers can't read the file.
    """
    model = gguf_skeleton(file, f"'{file.path}'") if shapes is None else shapes
    return ModelIdentity(
        weights=gguf_weights(file, keep),
        config=config_digest(type(model).__name__, model.config.to_dict()),
        tokenizer=_fields(file, template=False),
        chat_template=_fields(file, template=True),
        # What ends a text is one of the tokenizer's settings here.
        generation="",
    )


def gguf_weights(file: GgufFile, keep: Keep = keep_in_process) -> str:
    """Of every tensor's name, kind, shape and bytes, read in one stream; 16 hexadecimal digits."""
    return keep_by_files([file.path], ["gguf", VERSION], lambda: combined(_digests(file)), keep)


def require_gguf_base(file: GgufFile, made_for: str) -> None:
    """Raises InputError unless a file is the model that an edit was made for."""
    if made_for != (found := gguf_identity(file).fingerprint):
        raise InputError(
            f"the edit was made for model {made_for}, but '{file.path}' is {found} now; give the file it was made for"
        )


def _digests(file: GgufFile) -> Iterator[tuple[str, TensorDigest]]:
    with open(file.path, "rb", buffering=0) as stream:
        for tensor in sorted(file.tensors, key=lambda one: one.start):
            yield tensor.name, (tensor.kind, tensor.shape, hash_of_part(stream, tensor.start, tensor.size))


def _fields(file: GgufFile, template: bool) -> str:
    """Of the tokenizer's metadata, as it stands in the file; of its chat templates, or of all else."""
    state = hashlib.sha256()
    names = [name for name in file.spans if name.startswith("tokenizer.") and name.startswith(_TEMPLATE) == template]
    with open(file.path, "rb") as stream:
        for name in sorted(names):
            start, end = file.spans[name]
            stream.seek(start)
            state.update(stream.read(end - start))
    return state.hexdigest()[:16]
