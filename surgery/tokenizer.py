"""The tokenizer of a model's folder."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from surgery.chat import DEFAULT_DATE, set_date
from surgery.errors import InputError


def load_tokenizer(
    folder: Path, path: str, *, trust_remote_code: bool = False, date: str = DEFAULT_DATE
) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder; it takes no weights.

    Args:
        folder: of the model.
        path: what a person called it, for errors.
        trust_remote_code: run Python that comes with the model.
        date: the day that its chat template is rendered on, as `surgery.chat.require_date` takes it.

    Raises:
        InputError: when there is none, or it can't be read.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # each kind of file has a reader of its own, which raises what it likes
        if not _holds_one(folder):
            raise _none(path) from None
        reason = next(iter(str(error).strip().splitlines()), "")
        raise InputError(
            f"model.path '{path}': its tokenizer can't be read ({type(error).__name__} {reason}); copy the tokenizer's "
            "files there again"
        ) from None
    # Of a folder without a vocabulary some classes make a tokenizer that knows its special tokens alone.
    if set(tokenizer.get_vocab()) <= {*getattr(tokenizer, "added_tokens_encoder", ()), *tokenizer.all_special_tokens}:
        raise _none(path)
    set_date(tokenizer, date)
    return tokenizer


def _holds_one(folder: Path) -> bool:
    names = ("tokenizer*.json", "*.model", "vocab*", "merges.txt", "*.tiktoken", "tekken.json", "spiece*", "*.vocab")
    return any(file.name != "tokenizer_config.json" for name in names for file in folder.glob(name))


def _none(path: str) -> InputError:
    return InputError(
        f"model.path '{path}' holds no tokenizer; copy its files there (tokenizer.json and tokenizer_config.json, say)"
    )
