"""The tokenizer of a GGUF file, cutting texts as llama.cpp does with the same file."""

from typing import Any

from tokenizers import normalizers
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from surgery.errors import InputError
from surgery.files.gguf_file import GgufFile
from surgery.from_gguf.gguf_reader import NAME, UNREADABLE, alone, quick_reading, refused
from surgery.tokens.chat import DEFAULT_DATE, set_date

# Ways of splitting that transformers does as GPT-2 does; further ones it has a table of.
_LIKE_GPT2 = {None, "default", "gpt-2", "phi-2", "olmo", "smollm"}
# In these llama.cpp takes a word of the vocabulary whole, whatever its merges, and texts begin with a special token
# unless the file says otherwise. Tried in llama.cpp itself, each of transformers' table.
_WHOLE_WORDS = {
    *("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"),
    "tekken",
}
# Made by transformers with rules of their own, the same as llama.cpp's.
_GEMMA = ("gemma", "gemma2", "gemma3")


def require_tokenizer(file: GgufFile, told: str) -> None:
    """Refuses a vocabulary that transformers would split texts for in another way than the model was trained with."""
    from transformers.integrations.gguf import gguf_tokenizer_mapping as known

    kind, split = _kind(file), file.metadata.get("tokenizer.ggml.pre")
    if kind not in known.GGUF_TOKENIZER_TYPES:
        raise InputError(
            f"{told} has a tokenizer of kind '{kind}', which transformers can't read from GGUF; it reads "
            f"{', '.join(known.GGUF_TOKENIZER_TYPES)}; give the model's own folder or hub name"
        )
    if kind == "gpt2" and split not in _LIKE_GPT2 | known.GGUF_PRE_TOKENIZER_SPLITS.keys():
        raise InputError(
            f"{told} splits texts as '{split}' does, which transformers can't read from GGUF, so the model would see "
            "other tokens than it was trained with; give the model's own folder or hub name"
        )


def gguf_tokenizer(file: GgufFile, told: str, date: str = DEFAULT_DATE) -> PreTrainedTokenizerBase:
    """Reads it with transformers, without the weights, and sets what that leaves out; raises InputError."""
    require_tokenizer(file, told)
    try:
        with alone(file.path) as folder, quick_reading():
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, gguf_file=NAME)
    except UNREADABLE as error:
        raise refused(file, told, error) from None
    backend, said = tokenizer.backend_tokenizer, file.metadata
    if _kind(file) == "gpt2" and said.get("tokenizer.ggml.pre") in _WHOLE_WORDS:
        backend.model.ignore_merges = True
        if "tokenizer.ggml.add_bos_token" not in said and tokenizer.bos_token is not None:
            tokenizer.add_bos_token = True
    if _kind(file) == "llama" and file.architecture not in _GEMMA:
        # transformers puts one space before a text that has none; llama.cpp one before each, between special tokens.
        prefix = [normalizers.Prepend("▁")] if said.get("tokenizer.ggml.add_space_prefix", True) else []
        backend.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", "▁")])
        backend.pre_tokenizer = None
    set_date(tokenizer, date)
    found: PreTrainedTokenizerBase = tokenizer
    return found


def _kind(file: GgufFile) -> Any:
    return file.metadata.get("tokenizer.ggml.model")
