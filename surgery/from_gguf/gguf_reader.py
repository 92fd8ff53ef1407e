"""transformers' reading of a GGUF file without the minute that it takes for a large vocabulary.

It has the `gguf` package read the header three times for a model, each word of the vocabulary by itself, and builds the
table of tensor names once a module. Here the words are passed over, since the tokenizer is made from another reading,
and the table is built once: Gemma's 262,144 words are no longer felt. Where a later version reads in another way, this
does nothing, and the reading is slow again.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import gguf
from transformers import modeling_gguf_pytorch_utils
from transformers.utils import logging

from surgery.errors import InputError
from surgery.files.gguf_file import GgufFile
from surgery.files.gguf_place import MODEL_FILE
from surgery.files.temporary_folder import TemporaryFolder

_package: Any = gguf
_legacy: Any = modeling_gguf_pytorch_utils

NAME = MODEL_FILE
# What transformers raises for a file it can't make a model or a tokenizer of.
UNREADABLE = (
    *(ValueError, OSError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError, AssertionError),
    *(MemoryError, struct.error),
)
# Settings, one number a layer, are shorter.
LONGEST_LIST = 1024


class _QuickReader(gguf.GGUFReader):
    """Reads no lists of words, and no long lists."""

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
        if raw_type == gguf.GGUFValueType.ARRAY:
            content: Any = self.data
            inner, count = struct.unpack_from("<IQ", content, orig_offs)
            types = [gguf.GGUFValueType.ARRAY, gguf.GGUFValueType(inner)]
            end = orig_offs + struct.calcsize("<IQ")
            if inner == gguf.GGUFValueType.STRING:
                words = memoryview(content)
                for _ in range(count):
                    end += 8 + struct.unpack_from("<Q", words, end)[0]
                return end - orig_offs, [], [], types
            size = self.gguf_scalar_to_np.get(gguf.GGUFValueType(inner))
            if count > LONGEST_LIST and size is not None:
                return end + count * size(0).nbytes - orig_offs, [], [], types
        return super()._get_field_parts(orig_offs, raw_type)


@contextmanager
def quick_reading() -> Iterator[None]:
    """For the body of a `with` transformers reads GGUF headers quickly, and shows its bar to people alone."""
    level = logging.get_verbosity()
    # It would warn that special tokens are beyond a vocabulary of no words.
    logging.set_verbosity_error()
    kept = _package.GGUFReader, _package.get_tensor_name_map, _legacy.tqdm
    _package.GGUFReader = _QuickReader
    _package.get_tensor_name_map = cache(kept[1])
    _legacy.tqdm = partial(kept[2], disable=None, leave=False)
    try:
        yield
    finally:
        logging.set_verbosity(level)
        _package.GGUFReader, _package.get_tensor_name_map, _legacy.tqdm = kept


@contextmanager
def alone(path: Path) -> Iterator[Path]:
    """The file as `NAME` in a folder of its own: transformers would also read another model's settings beside it."""
    with TemporaryFolder("gguf") as folder:
        (folder / NAME).symlink_to(path.resolve())
        yield folder


def refused(file: GgufFile, told: str, error: Exception) -> InputError:
    """What to say of a file that transformers can't read."""
    if isinstance(error, InputError):
        return error
    reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return InputError(
        f"{told} (architecture '{file.architecture}') can't be read by transformers: {reason}; "
        "give the model's own folder or hub name"
    )
