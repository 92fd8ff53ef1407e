"""How a model of lm-eval reads and renders texts as all other measurements do, whoever computes its answers."""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.models.utils import has_bos_prefix

from surgery.errors import InputError
from surgery.tokens.chat import render, thoughts_of
from surgery.tokens.encoding import embedding_rows, padding_id, require_embeddings, start_id, start_ids, token_ids
from surgery.tokens.thinking import Thoughts

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Stands for an answer that is not there; no text to stop at is a part of it.
_UNENDED = "\ue000"


class ReadsAsMeasured:
    """No context ends in what the tokenizer ends texts with, no token is fed that the model has no embedding of, and
    chat templates are rendered on the tokenizer's date and with its framing.

    Attributes:
        thoughts: what parts thoughts from answers; None where they are not stripped.
        unended: the contexts after which a thought has not ended.
    """

    tokenizer: Any
    thoughts: Thoughts | None
    unended: set[str]

    def _read_by(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", chat: bool) -> Any:
        """Takes what texts are read by; a copy of the tokenizer comes back, since lm-eval sets its padding.

        Args:
            model: without its weights, too.
            chat: questions go through the chat template.
        """
        own: Any = copy.deepcopy(tokenizer)
        if own.pad_token_id != (pad := padding_id(model, own)):
            own.pad_token = own.convert_ids_to_tokens(pad)
        self._asked, self._prefix, self._begin = model, start_id(model, own), start_ids(own)
        self._rows = embedding_rows(model)
        self.thoughts = thoughts_of(own, chat)
        self.unended = set()
        return own

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

    def _encoded(self, string: str, add_special_tokens: bool | None = None) -> list[int]:
        """Token ids; unless told otherwise begun as the tokenizer begins texts, where the text is not begun so."""
        if add_special_tokens is None:
            add_special_tokens = not has_bos_prefix(string, self.tokenizer.decode(self._prefix))
        (ids,) = token_ids(self.tokenizer, [string], special_tokens=False)
        ids = [*self._begin, *ids] if add_special_tokens else ids
        if max(ids, default=0) >= self._rows:
            require_embeddings(self._asked, self.tokenizer, [ids], f"a question of a task ({string[:40]!r}), text")
        return ids

    def _answer(self, ids: list[int]) -> str:
        """What the model wrote, thoughts taken away; _UNENDED where one has not ended."""
        if self.thoughts is None:
            return str(self.tokenizer.decode(ids, skip_special_tokens=True))
        answer = self.thoughts.parted(ids)[1]
        return _UNENDED if answer is None else answer

    def generate_until(self, requests: "list[Instance]", disable_tqdm: bool = False) -> list[str]:
        """What is written after each context; nothing where a thought has not ended."""
        written: list[str] = super().generate_until(requests, disable_tqdm)  # type: ignore[misc]
        pairs = list(zip((request.args[0] for request in requests), written, strict=True))
        self.unended |= {context for context, text in pairs if text == _UNENDED}
        return ["" if text == _UNENDED else text for _, text in pairs]
