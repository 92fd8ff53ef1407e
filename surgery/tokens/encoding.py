"""Texts as the token ids that a model is fed: never ended by what a tokenizer appends, never without an embedding."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from surgery.errors import InputError
from surgery.tokens.chat import in_chat_template, require_template

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# No character takes more tokens: four bytes, and what marks the beginning of a word.
MOST_OF_A_CHARACTER = 8


@dataclass(frozen=True)
class Encoded:
    """Texts as a model is fed them.

    Attributes:
        ids: token ids of each text.
        shown: what they were encoded from: the text, or it in the chat template; cut where it had to be.
        cut: how many lost a part.
    """

    ids: list[list[int]]
    shown: list[str]
    cut: int = 0


@dataclass(frozen=True)
class Reading:
    """How texts become token ids.

    Attributes:
        longest: most tokens; None: no limit.
        chat: put each text into the tokenizer's chat template, as a user's turn.
        answer_follows: end with what begins the model's answer.
        begun: the first words of that answer, which the model goes on with; on a line of their own where there is no
            chat template.
        keep: which end of a text stays where it has to be cut. What the tokenizer begins texts with, and all that a
            chat template writes, stay either way.
        special_tokens: False where texts hold what begins them already, as a chat template writes it.
        what: what a text is called in errors.
        limit: where `longest` comes from, in words, for errors.
        key: the setting that asks for the chat template, for errors.
    """

    longest: int | None = None
    chat: bool = False
    answer_follows: bool = False
    keep: Literal["start", "end"] = "start"
    special_tokens: bool = True
    what: str = "text"
    limit: str = ""
    key: str = "chat"
    begun: str = ""

    def frame(self, tokenizer: "PreTrainedTokenizerBase") -> int:
        """Tokens that are there beside the text: of the chat template, the answer's first words, or of what the
        tokenizer begins texts with.
        """
        if not self.chat and not self.begun:
            return len(start_ids(tokenizer)) if self.special_tokens else 0
        return len(_as_they_are(tokenizer, ["a"], self)[1][0]) - 1

    def require_room(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        """Raises InputError when nothing of any text would be left."""
        if self.longest is not None and (frame := self.frame(tokenizer)) >= self.longest:
            raise self.no_room(frame)

    def check(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> None:
        """Finds what `encode` would raise, without encoding everything where nothing can be wrong with it.

        Args:
            model: without its weights, too.

        Raises:
            InputError: see `encode`.
        """
        if self.chat:
            require_template(tokenizer, answer_follows=self.answer_follows, key=self.key)
            in_chat_template(tokenizer, texts, answer_follows=self.answer_follows, key=self.key)
        self.require_room(tokenizer)
        tight = self.longest is not None and self.longest - self.frame(tokenizer) < MOST_OF_A_CHARACTER
        if tight or max(tokenizer.get_vocab().values(), default=0) >= embedding_rows(model):
            encode(model, tokenizer, texts, self)

    def no_room(self, frame: int) -> InputError:
        """The error for texts of which nothing would be left."""
        said = f"{self.limit or f'at most {self.longest} tokens'}"
        if self.begun:
            return InputError(
                f"{said}, but what stands beside a {self.what}, '{self.begun}' among it, takes {frame} tokens, which "
                f"leaves no room; allow more than {frame}"
            )
        if self.chat:
            return InputError(
                f"{said}, but the chat template alone takes {frame} tokens, which leaves no room for a {self.what}; "
                f"allow more than {frame}, or say {self.key}=false"
            )
        return InputError(
            f"{said}, but the tokenizer begins each {self.what} with {frame} tokens of its own, which leaves no room; "
            f"allow more than {frame}"
        )


def start_ids(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """What the tokenizer puts before a text, such as a BOS; nothing where it begins with the text itself."""
    alone: list[int] = tokenizer("a", add_special_tokens=False, verbose=False)["input_ids"]
    encoded = tokenizer("a", return_special_tokens_mask=True, verbose=False)
    whole, added = list(encoded["input_ids"]), list(encoded["special_tokens_mask"])
    places = [place for place in range(len(whole) - len(alone) + 1) if whole[place : place + len(alone)] == alone]
    # Where the letter is unknown and BOS stands for what is unknown, it could be either.
    told = next((place for place, special in enumerate(added) if not special), 0)
    return whole[: told if told in places else next(iter(places), 0)]


def token_ids(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], *, special_tokens: bool = True
) -> list[list[int]]:
    """Token ids of texts that may be gone on with: with what the tokenizer begins texts with, not with what it ends
    them with (an EOS or SEP would tell the model that the text is finished).

    Args:
        special_tokens: False where texts hold what begins them already.
    """
    if not texts:
        return []
    encoded: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    start = start_ids(tokenizer) if special_tokens else []
    return [[*start, *ids] for ids in encoded]


def embedding_rows(model: "PreTrainedModel") -> int:
    """How many token ids the model can be fed."""
    embedding: Any = model.get_input_embeddings()
    return int(embedding.weight.shape[0])


def padding_id(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> int:
    """A token to pad with that the model has an embedding of. Padding is always masked, so any of them will do."""
    return _first_there(model, tokenizer.pad_token_id, tokenizer.eos_token_id)


def start_id(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> int:
    """The token to go on from where there is no text."""
    return _first_there(model, tokenizer.bos_token_id, tokenizer.eos_token_id)


def _first_there(model: "PreTrainedModel", *ids: int | None) -> int:
    rows = embedding_rows(model)
    return next((one for one in ids if one is not None and one < rows), 0)


def longest_input(model: "PreTrainedModel") -> int | None:
    """The most tokens the model takes, where its config says it."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def require_embeddings(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", encoded: Sequence[Sequence[int]], what: str
) -> None:
    """Raises InputError, which names the token, when a text holds one that the model has no embedding of."""
    rows = embedding_rows(model)
    for index, ids in enumerate(encoded):
        if (largest := max(ids, default=0)) >= rows:
            token = tokenizer.convert_ids_to_tokens(largest)
            raise InputError(
                f"{what} {index + 1} of {len(encoded)} holds the token {token!r} (id {largest}), but the model has "
                f"embeddings of the ids 0 to {rows - 1} only; leave out what holds it, or take the tokenizer that "
                "belongs to the model"
            )


def encode(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], reading: Reading
) -> Encoded:
    """Token ids of each text, those too long cut at one end of the text.

    Args:
        model: without its weights, too.

    Raises:
        InputError: when nothing of a text is left beside the chat template; for a token that the model has no
            embedding of; see `surgery.tokens.chat.render`.
    """
    if not texts:
        return Encoded([], [])
    reading.require_room(tokenizer)
    shown, encoded = _as_they_are(tokenizer, texts, reading)
    longest = reading.longest
    too_long = [] if longest is None else [i for i, ids in enumerate(encoded) if len(ids) > longest]
    start = start_ids(tokenizer) if reading.special_tokens else []
    for index in too_long:
        assert longest is not None
        if reading.chat:
            shown[index], encoded[index] = _cut_within(tokenizer, texts[index], reading, longest)
        else:
            encoded[index] = _cut(encoded[index], longest, start, reading.keep)
            shown[index] = str(tokenizer.decode(encoded[index][len(start) :]))
    require_embeddings(model, tokenizer, encoded, reading.what)
    return Encoded(encoded, shown, len(too_long))


def _as_they_are(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], reading: Reading
) -> tuple[list[str], list[list[int]]]:
    """What is shown of each text, and its ids, however long."""
    shown = list(texts)
    if reading.chat:
        shown = in_chat_template(tokenizer, texts, answer_follows=reading.answer_follows, key=reading.key)
    if reading.begun:
        between = "" if reading.chat else "\n"
        shown = [f"{text}{between}{reading.begun}" for text in shown]
    # A chat template writes the special tokens itself.
    return shown, token_ids(tokenizer, shown, special_tokens=reading.special_tokens and not reading.chat)


def _cut(ids: list[int], longest: int, start: list[int], keep: Literal["start", "end"]) -> list[int]:
    """As many ids as fit, what the tokenizer begins texts with among them."""
    return ids[:longest] if keep == "start" else [*start, *ids[len(ids) - (longest - len(start)) :]]


def _cut_within(
    tokenizer: "PreTrainedTokenizerBase", text: str, reading: Reading, longest: int
) -> tuple[str, list[int]]:
    """The most characters of a text, from the end that stays, with which it fits in the chat template."""
    text = text.strip()

    def part(count: int) -> str:
        return (text[:count] if reading.keep == "start" else text[len(text) - count :]).strip()

    def length(count: int) -> int:
        return len(_as_they_are(tokenizer, [part(count)], reading)[1][0])

    count = bisect_right(range(1, len(text) + 1), longest, key=length)
    # A character more is not always a token more, so that the last ones are looked at again.
    while count and length(count) > longest:
        count -= 1
    if not count:
        raise reading.no_room(reading.frame(tokenizer))
    (shown,), (ids,) = _as_they_are(tokenizer, [part(count)], reading)
    return shown, ids
