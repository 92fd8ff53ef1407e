"""The tokenizer of a model's folder."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from surgery.errors import InputError
from surgery.files.saved_files import require_no_pointer
from surgery.tokens.chat import DEFAULT_DATE, set_date

# What holds a vocabulary, by name.
FILES = ("tokenizer*.json", "*.model", "vocab*", "merges.txt", "*.tiktoken", "tekken.json", "*.vocab")
NONE = "holds no tokenizer; copy its files there (tokenizer.json and tokenizer_config.json, say)"


def load_tokenizer(
    folder: Path, path: str, *, trust_remote_code: bool = False, date: str = DEFAULT_DATE
) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder; it takes no weights.

    Args:
        folder: of the model.
        path: what a person called it, for errors.
        trust_remote_code: run Python that comes with the model.
        date: the day that its chat template is rendered on, as `surgery.tokens.chat.require_date` takes it.

    Raises:
        InputError: when there is none, or it can't be read.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # each kind of file has a reader of its own, which raises what it likes
        for file in _files(folder):
            require_no_pointer(file, f"model.path '{path}'")
        raise InputError(f"model.path '{path}' {_why(folder, error)}") from None
    # Of a folder without a vocabulary some classes make a tokenizer that knows its special tokens alone.
    if set(tokenizer.get_vocab()) <= {*getattr(tokenizer, "added_tokens_encoder", ()), *tokenizer.all_special_tokens}:
        raise InputError(f"model.path '{path}' {NONE}")
    set_date(tokenizer, date)
    return tokenizer


def _files(folder: Path) -> list[Path]:
    return [file for name in FILES for file in folder.glob(name) if file.is_file()]


def _why(folder: Path, error: Exception) -> str:
    """What is wrong with the tokenizer's files, and what to do."""
    if all(file.name == "tokenizer_config.json" for file in _files(folder)):
        return NONE
    if "trust_remote_code" in str(error):
        return "has a tokenizer that is Python of its own; if you trust it, say model.trust_remote_code=true"
    reason = " ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
    return f"has a tokenizer that can't be read ({reason}); copy the tokenizer's files there again"
