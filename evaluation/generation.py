"""Continuations of prompts, in batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.engines.decoding import Decoder, Generation
from evaluation.engines.engine import engine_of
from surgery.errors import InputError
from surgery.tokens.chat import thoughts_of
from surgery.tokens.encoding import MOST_OF_A_CHARACTER, Encoded, Reading, encode, longest_input, start_id

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Generated:
    """Continuations in the order of their prompts.

    Attributes:
        texts: the continuations, as they are scored: without thoughts where these are stripped
            (`surgery.tokens.thinking`); empty for a thought that has not ended.
        shown: the prompts as the model was given them: in the chat template where that was asked for, and cut.
        batches: the tokens a batch held, and how many prompts were cut, as they are noted with a result.
        ids: the continuations' token ids, up to the first that ends a text, which is among them; thoughts too.
        whole: the continuations with their thoughts; None where none are stripped.
        unended: which thoughts have not ended; none where they are not stripped.
    """

    texts: list[str]
    shown: list[str]
    batches: Mapping[str, str | int]
    ids: list[list[int]]
    whole: list[str] | None = None
    unended: frozenset[int] = frozenset()


def generate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    settings: Generation,
    progress: bool = False,
) -> Generated:
    """Continues each prompt by the model's engine; only what is new comes back.

    None ends in what the tokenizer ends texts with. One that
    leaves no room for the new tokens within the model's maximum loses its beginning (what the tokenizer begins texts
    with and a chat template stay). Nothing of the model's own generation settings is used but its end-of-sequence
    tokens. Where thoughts are stripped, texts to
    stop at are looked for in answers alone.

    Raises:
        InputError: when the settings can't be used; see `check_prompts`.
    """
    settings.check()
    encoded = encode_prompts(model, tokenizer, prompts, settings)
    texts, ids, notes = continue_rows(model, tokenizer, prompt_rows(model, tokenizer, encoded), settings, progress)
    return gathered(Decoder(model, tokenizer, settings), encoded, texts, ids, notes)


def gathered(
    decoder: "Decoder", encoded: Encoded, texts: list[str], ids: list[list[int]], notes: Mapping[str, str | int]
) -> Generated:
    """What was continued, with its thoughts apart where these are stripped.

    Args:
        decoder: that continued it.
        encoded: the prompts.
        texts, ids: see `Generated`.
        notes: of the batches.
    """
    cut = {"prompts_cut": encoded.cut} if encoded.cut else {}
    if not decoder.strips:
        return Generated(texts, encoded.shown, {**notes, **cut}, ids)
    parted = [decoder.parted(new) for new in ids]
    whole = [thoughts + (answer or "") for thoughts, answer in parted]
    unended = frozenset(index for index, (_, answer) in enumerate(parted) if answer is None)
    return Generated(texts, encoded.shown, {**notes, **cut}, ids, whole, unended)


def continue_rows(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[list[int]],
    settings: Generation,
    progress: bool = False,
) -> tuple[list[str], list[list[int]], dict[str, str | int]]:
    """(texts, token ids, what is noted of batches) of what continues prompts that are token ids; see `Generated`."""
    decoder = Decoder(model, tokenizer, settings)
    ids, notes = engine_of(model, tokenizer).continuations(rows, settings, progress)
    return [decoder.parted(new)[1] or "" for new in ids], ids, notes


def prompt_rows(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", encoded: Encoded) -> list[list[int]]:
    """Token ids of prompts as the model is fed them: none is empty."""
    return [ids or [start_id(model, tokenizer)] for ids in encoded.ids]


def encode_prompts(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[str], settings: Generation
) -> Encoded:
    """Prompts as token ids; raises InputError as `check_prompts` does."""
    return encode(model, tokenizer, prompts, _reading(model, settings))


def _reading(model: "PreTrainedModel", settings: Generation) -> Reading:
    """How prompts become token ids: their beginning is cut where the model takes no more."""
    longest = longest_input(model)
    room = None if longest is None else longest - settings.max_new_tokens
    if room is not None and room < 1:
        raise InputError(
            f"max_new_tokens={settings.max_new_tokens} leaves no room for a prompt: this model takes {longest} tokens"
        )
    return Reading(
        room,
        chat=settings.chat,
        answer_follows=True,
        begun=settings.prefill,
        keep="end",
        what="prompt",
        key="model.chat",
        limit=f"this model takes {longest} tokens, {settings.max_new_tokens} of them new (max_new_tokens)",
    )


def check_prompts(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[str], settings: Generation
) -> int:
    """Finds what is wrong with prompts before they are continued.

    Args:
        model: without its weights, too.

    Returns:
        How many prompts lose their beginning.

    Raises:
        InputError: when the new tokens or the chat template leave no room for a prompt; when there is no chat template
            that can be used; for a token that the model has no embedding of; for an answer's first words where
            thoughts are stripped.
    """
    reading = _reading(model, settings)
    reading.check(model, tokenizer, prompts)
    if settings.prefill and thoughts_of(tokenizer, settings.chat) is not None:
        raise InputError(
            f"answers that begin with '{settings.prefill}' have no thought that model.thinking=strip could take away; "
            "take model.thinking=off, or leave out what is prefilled (evaluation.variants=[plain,wrapped])"
        )
    # A token is a byte at least, so that only the longest need to be encoded.
    room = None if reading.longest is None else reading.longest - reading.frame(tokenizer)
    long = [] if room is None else [prompt for prompt in prompts if len(prompt.encode()) + MOST_OF_A_CHARACTER > room]
    return encode(model, tokenizer, long, reading).cut
