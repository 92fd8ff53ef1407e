"""What a model thinks before it answers: how it marks it, and where in what it wrote the answer begins."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NO_THOUGHTS: Mapping[str, Any] = {"enable_thinking": False}


@dataclass(frozen=True)
class Thinking:
    """What becomes of a model's thoughts, and how it marks them.

    Attributes:
        mode: `off`, the model is asked to answer without one; `strip`, it thinks, and what follows is its answer.
        begin, end: what a thought stands between; `end` is all that stands before the answer.
        arguments: of the chat template, by which it asks for no thought.
        empty: a thought that says nothing, which the model's turn is begun with where no argument asks for none.
    """

    mode: Literal["off", "strip"]
    begin: str = "<think>"
    end: str = "</think>"
    arguments: Mapping[str, Any] = field(default_factory=lambda: dict(NO_THOUGHTS))
    empty: str | None = None

    def identity(self) -> dict[str, Any]:
        """What of it changes what the model is shown, or what is taken for its answer."""
        told = asdict(self)
        if self.mode == "strip":
            return {name: told[name] for name in ("mode", "begin", "end")}
        return {name: told[name] for name in ("mode", "arguments" if self.empty is None else "empty")}

    def template_arguments(self) -> dict[str, Any]:
        """What the chat template is given."""
        return dict(self.arguments) if self.mode == "off" and self.empty is None else {}

    def begun(self, prompt: str) -> str:
        """What follows a rendered prompt that the model's answer is to follow: the empty thought, or its rest."""
        if self.mode != "off" or self.empty is None:
            return ""
        # Some templates begin every turn of the model with a thought themselves.
        lengths = range(len(self.empty), 0, -1)
        written = next((length for length in lengths if prompt.endswith(self.empty[:length])), 0)
        return self.empty[written:]


@dataclass(frozen=True)
class Thoughts:
    """Parts what a model wrote into its thoughts and its answer.

    Attributes:
        tokenizer: of the model.
        thinking: how thoughts are marked.
        opened: the chat template begins a thought, which the model goes on with.
    """

    tokenizer: "PreTrainedTokenizerBase"
    thinking: Thinking
    opened: bool

    def parted(self, ids: Sequence[int]) -> tuple[str, str | None]:
        """(thoughts with their marks, the answer) of a model's tokens; None for a thought that has not ended.

        The answer follows the last mark that ends a thought and the white space after it; all is answer where no
        thought was begun. The marks may be special tokens, which are left out of answers.
        """
        start = self.answer_start(ids)
        if start is None:
            return self._text(ids), None
        answer = str(self.tokenizer.decode(list(ids[start:]), skip_special_tokens=True))
        if not start:
            return "", answer
        end = self.thinking.end
        # The token that a mark ends in may hold the beginning of the answer.
        answer = (self._text(ids[:start]).rpartition(end)[2] + answer).lstrip()
        # Between two tokens decoding may put a space, which neither has alone.
        before, _, after = self._text(ids).rpartition(end)
        return before + end + after[: len(after) - len(after.lstrip())], answer

    def answer_start(self, ids: Sequence[int]) -> int | None:
        """The place of the first token of the answer; None for a thought that has not ended."""
        begin, end = self.thinking.begin, self.thinking.end
        text = self._text(ids)
        ended, begun = text.rfind(end), text.rfind(begin)
        if begun > ended or (self.opened and ended < 0):
            return None
        if ended < 0:
            return 0
        marks = text.count(end)
        return bisect_left(range(len(ids)), marks, key=lambda last: self._text(ids[: last + 1]).count(end)) + 1

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))
