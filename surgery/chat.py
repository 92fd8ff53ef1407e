"""Texts as a chat model sees them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from surgery.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def in_chat_template(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], *, answer_follows: bool = False
) -> list[str]:
    """Each text as a user's turn in the tokenizer's chat template; special tokens are written out in it.

    Args:
        answer_follows: end with what begins the model's answer.

    Raises:
        InputError: when the tokenizer has no chat template.
    """
    if not tokenizer.chat_template:
        raise InputError("chat=true, but this model's tokenizer has no chat template; use chat=false")
    turns = [[{"role": "user", "content": text}] for text in texts]
    return [
        str(tokenizer.apply_chat_template(turn, add_generation_prompt=answer_follows, tokenize=False)) for turn in turns
    ]
