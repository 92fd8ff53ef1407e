"""What a chat template is given beside the turns: a system prompt, and what becomes of thoughts."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from surgery.errors import InputError
from surgery.tokens.thinking import Thinking

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Where a tokenizer keeps it, so that copies of it have it too.
_FRAMING = "framed_by"
# What each model was loaded with, as long as it lives.
_tokenizers: "WeakKeyDictionary[PreTrainedModel, PreTrainedTokenizerBase]" = WeakKeyDictionary()


@dataclass(frozen=True)
class Framing:
    """What a chat template is given beside the turns of a conversation.

    Attributes:
        system: a system prompt, before every conversation that has none of its own.
        thinking: what becomes of the model's thoughts; None leaves them to the template, and in the answers.
    """

    system: str | None = None
    thinking: Thinking | None = None

    def identity(self) -> dict[str, Any]:
        """What is set of it; empty where nothing is."""
        return {
            **({} if self.system is None else {"system": self.system}),
            **({} if self.thinking is None else {"thinking": self.thinking.identity()}),
        }

    def shown(self) -> dict[str, Any]:
        """What of the identity changes what the model is shown."""
        stripped = self.thinking is not None and self.thinking.mode == "strip"
        return replace(self, thinking=None).identity() if stripped else self.identity()

    def measured(self) -> dict[str, Any]:
        """What of the identity results have to share to stand in one table: of thoughts, that they are stripped."""
        return self.identity() if self.shown() != self.identity() else replace(self, thinking=None).identity()


def set_framing(tokenizer: "PreTrainedTokenizerBase", framing: Framing) -> None:
    """Fixes what this tokenizer's chat template is given beside the turns."""
    setattr(tokenizer, _FRAMING, framing)


def framing_of(tokenizer: "PreTrainedTokenizerBase") -> Framing:
    """What this tokenizer's chat template is given beside the turns; by default nothing."""
    found: Framing = getattr(tokenizer, _FRAMING, Framing())
    return found


def note_tokenizer(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> None:
    """Says which tokenizer a model was loaded with."""
    _tokenizers[model] = tokenizer


def tokenizer_of(model: "PreTrainedModel") -> "PreTrainedTokenizerBase":
    """The tokenizer that a model was loaded with; raises InputError where it was loaded by other means."""
    if model not in _tokenizers:
        raise InputError("a system prompt needs the model's tokenizer; load both with surgery.load_model")
    return _tokenizers[model]
