"""A model in memory as lm-eval takes it, which reads and renders texts as all other measurements do."""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import has_bos_prefix

from evaluation.inputs.model_input import padded
from surgery.errors import InputError
from surgery.tokens.chat import render
from surgery.tokens.encoding import embedding_rows, padding_id, require_embeddings, start_id, start_ids, token_ids

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class ModelInMemory(HFLM):  # type: ignore[misc]
    """lm-eval's model, but that no context ends in what the tokenizer ends texts with, no token is fed that the model
    has no embedding of, and chat templates are rendered on the tokenizer's date.

    Args:
        model, tokenizer: as loaded; lm-eval sets the tokenizer's padding and truncation, and gets a copy.
        max_length: most tokens of a question with its examples; None is the model's maximum.
    """

    def __init__(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", max_length: int | None = None
    ) -> None:
        own: Any = copy.deepcopy(tokenizer)
        if own.pad_token_id != (pad := padding_id(model, own)):
            own.pad_token = own.convert_ids_to_tokens(pad)
        self._prefix, self._begin, self._rows = start_id(model, own), start_ids(own), embedding_rows(model)
        super().__init__(pretrained=model, tokenizer=own, max_length=max_length)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text without a context."""
        return self._prefix

    def apply_chat_template(self, chat_history: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """The turns in the chat template; without a system's where the template refuses one, as lm-eval does it."""
        turns = list(chat_history)
        options: Any = {"answer_follows": add_generation_prompt, "last_goes_on": not add_generation_prompt}
        try:
            return render(self.tokenizer, turns, key="model.chat", **options)
        except InputError:
            others = [turn for turn in turns if turn["role"] != "system"]
            if others == turns:
                raise
            return render(self.tokenizer, others, key="model.chat", **options)

    def tok_encode(
        self,
        string: str,
        add_special_tokens: bool | None = None,
        left_truncate_len: int | None = None,
        **_: object,
    ) -> list[int]:
        """Token ids; unless told otherwise begun as the tokenizer begins texts, where the text is not begun so."""
        if add_special_tokens is None:
            add_special_tokens = not has_bos_prefix(string, self.tokenizer.decode(self.prefix_token_id))
        (ids,) = token_ids(self.tokenizer, [string], special_tokens=False)
        ids = [*self._begin, *ids] if add_special_tokens else ids
        if max(ids, default=0) >= self._rows:
            require_embeddings(self.model, self.tokenizer, [ids], f"a question of a task ({string[:40]!r}), text")
        return ids[-left_truncate_len:] if left_truncate_len else ids

    def tok_batch_encode(
        self,
        strings: list[str],
        padding_side: Literal["left", "right"] = "left",
        left_truncate_len: int | None = None,
        truncation: bool = False,
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """`input_ids` and `attention_mask` [b, t] of contexts, which lose their beginning where they are too long."""
        rows = [self.tok_encode(string, left_truncate_len=left_truncate_len) for string in strings]
        inputs = padded(self.model, rows, padding_side, self.tokenizer.pad_token_id)
        return inputs["input_ids"], inputs["attention_mask"]
