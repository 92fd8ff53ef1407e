"""Continuations of prompts, in batches."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING

from evaluation.inputs.model_input import evaluation_mode, padded
from evaluation.measurements.measurement import JSON
from surgery.errors import InputError
from surgery.states.batch_budget import BatchBudget
from surgery.states.batching import run_in_batches
from surgery.tokens.encoding import MOST_OF_A_CHARACTER, Encoded, Reading, encode, longest_input, padding_id, start_id

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Generation:
    """How continuations are made.

    Attributes:
        max_new_tokens: most tokens of a continuation.
        do_sample: sample instead of taking the likeliest token.
        temperature, top_p, seed: of sampling only.
        tokens_per_batch: budget of a batch; prompt and new tokens count, padding too. None is found from the model
            and its device.
        chat: put each prompt into the tokenizer's chat template, as a user's turn.
        stop: texts at which a continuation ends; they are left out of it.
    """

    max_new_tokens: int = 20
    do_sample: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    tokens_per_batch: int | None = None
    chat: bool = False
    stop: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", tuple(self.stop))

    def check(self) -> None:
        """Raises InputError for settings that can't be used."""
        if self.max_new_tokens < 1 or (self.tokens_per_batch is not None and self.tokens_per_batch < 1):
            raise InputError(
                f"max_new_tokens={self.max_new_tokens}, tokens_per_batch={self.tokens_per_batch} can't be used: "
                "both have to be 1 or more"
            )
        if not self.temperature > 0 or not 0 < self.top_p <= 1:
            raise InputError(
                f"temperature={self.temperature}, top_p={self.top_p} can't be sampled with: "
                "temperature has to be above 0 and top_p above 0, at most 1; do_sample=false is greedy"
            )
        if "" in self.stop:
            raise InputError("stop holds an empty text, which would end every continuation; leave it out")

    def identity(self) -> dict[str, JSON]:
        """The settings; those of sampling only where there is sampling."""
        settings: dict[str, JSON] = asdict(self) | {"stop": list(self.stop)}
        sampling = ("temperature", "top_p", "seed")
        return {name: value for name, value in settings.items() if self.do_sample or name not in sampling}


@dataclass(frozen=True)
class Generated:
    """Continuations in the order of their prompts.

    Attributes:
        texts: the continuations.
        shown: the prompts as the model was given them: in the chat template where that was asked for, and cut.
        batches: the tokens a batch held, and how many prompts were cut, as they are noted with a result.
        ids: the continuations' token ids, up to the first that ends a text, which is among them.
    """

    texts: list[str]
    shown: list[str]
    batches: Mapping[str, str | int]
    ids: list[list[int]]


def generate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    settings: Generation,
    progress: bool = False,
) -> Generated:
    """Continues each prompt; only what is new comes back.

    Prompts are padded on the left and packed by length. None ends in what the tokenizer ends texts with. One that
    leaves no room for the new tokens within the model's maximum loses its beginning (what the tokenizer begins texts
    with and a chat template stay). Nothing of the model's own generation settings is used but its end-of-sequence
    tokens. With sampling, each batch is seeded by the settings and its samples.

    Raises:
        InputError: when the settings can't be used; see `check_prompts`.
    """
    settings.check()
    encoded = encode(model, tokenizer, prompts, reading_of_prompts(model, settings))
    rows = prompt_rows(model, tokenizer, encoded)
    texts, ids, notes = continue_rows(model, tokenizer, rows, settings, progress)
    cut = {"prompts_cut": encoded.cut} if encoded.cut else {}
    return Generated(texts, encoded.shown, {**notes, **cut}, ids)


def continue_rows(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[list[int]],
    settings: Generation,
    progress: bool = False,
) -> tuple[list[str], list[list[int]], dict[str, str | int]]:
    """(texts, token ids, what is noted of batches) of what continues prompts that are token ids; see `generate`."""
    import torch
    from tqdm import tqdm

    lengths = [len(ids) + settings.max_new_tokens for ids in rows]
    ends = _end_tokens(model, tokenizer)
    pad = padding_id(model, tokenizer)

    def run(indices: list[int]) -> list[list[int]]:
        inputs = padded(model, [rows[i] for i in indices], "left", pad)
        width = inputs["input_ids"].shape[1]
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            if settings.do_sample:
                torch.manual_seed(_batch_seed(settings.seed, indices))
            output = _continued(model, tokenizer, inputs, settings.stop)
        new: list[list[int]] = output[:, width:].tolist()
        return new

    texts: list[str] = [""] * len(rows)
    kept: list[list[int]] = [[] for _ in rows]
    budget = BatchBudget.of(model, "generation", settings.tokens_per_batch)
    with (
        evaluation_mode(model),
        _settings_alone(model, _config(settings, pad, ends)),
        tqdm(total=len(rows), desc="continuations", unit="prompt", disable=not progress) as bar,
    ):
        for indices, batch in run_in_batches(lengths, budget, run):
            for index, new in zip(indices, batch, strict=True):
                texts[index] = _text(tokenizer, new, ends, settings.stop)
                kept[index] = new[: _length(new, ends) + 1]
            bar.update(len(indices))
    return texts, kept, dict(budget.notes())


def prompt_rows(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", encoded: Encoded) -> list[list[int]]:
    """Token ids of prompts as the model is fed them: none is empty."""
    return [ids or [start_id(model, tokenizer)] for ids in encoded.ids]


def stream(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", prompt: str, settings: Generation
) -> Iterator[str]:
    """The continuation that `generate` gives of one prompt, in pieces as they come.

    Raises:
        InputError: see `generate`.
    """
    settings.check()
    (ids,) = encode(model, tokenizer, [prompt], reading_of_prompts(model, settings)).ids
    ends, pad = _end_tokens(model, tokenizer), padding_id(model, tokenizer)
    inputs = padded(model, [ids or [start_id(model, tokenizer)]], "left", pad)
    pieces: Queue[str | BaseException | None] = Queue()

    def run() -> None:
        try:
            heard = _Pieces(lambda new: _text(tokenizer, new, ends, settings.stop), settings.stop, pieces.put)
            with evaluation_mode(model), _settings_alone(model, _config(settings, pad, ends)):
                _continued(model, tokenizer, inputs, settings.stop, heard)
            pieces.put(None)
        except BaseException as error:  # handed to the reader, which raises it
            pieces.put(error)

    worker = Thread(target=run)
    worker.start()
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        # What the caller did to the model must stay until the last token is made, also when it stops reading early.
        worker.join()


class _Pieces:
    """A streamer for `generate()`: tells a text as it grows, but for the word at its end, which may yet change.

    Args:
        text_of: what the new tokens say.
        stop: texts at which it ends; what may be the beginning of one is not told.
        tell: called with each piece.
    """

    def __init__(self, text_of: Callable[[list[int]], str], stop: Sequence[str], tell: Callable[[str], None]) -> None:
        self._text_of, self._stop, self._tell = text_of, stop, tell
        self._new: list[int] = []
        self._prompt = True
        self._told = ""

    def put(self, ids: "torch.Tensor") -> None:
        """The prompt, and then each token."""
        if self._prompt:
            self._prompt = False
            return
        self._new += ids.reshape(-1).tolist()
        text = self._text_of(self._new)
        held = max((size for end in self._stop for size in range(len(end)) if text.endswith(end[:size])), default=0)
        sure = text[: len(text) - held]
        self._until(text, max(sure.rfind(" "), sure.rfind("\n"), 0))

    def end(self) -> None:
        """Tells what is left."""
        text = self._text_of(self._new)
        self._until(text, len(text))

    def _until(self, text: str, place: int) -> None:
        if place > len(self._told):
            self._tell(text[len(self._told) : place])
            self._told = text[:place]


def reading_of_prompts(model: "PreTrainedModel", settings: Generation) -> Reading:
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
            that can be used; for a token that the model has no embedding of.
    """
    reading = reading_of_prompts(model, settings)
    reading.check(model, tokenizer, prompts)
    # A token is a byte at least, so that only the longest need to be encoded.
    room = None if reading.longest is None else reading.longest - reading.frame(tokenizer)
    long = [] if room is None else [prompt for prompt in prompts if len(prompt.encode()) + MOST_OF_A_CHARACTER > room]
    return encode(model, tokenizer, long, reading).cut


def _continued(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    inputs: "Mapping[str, torch.Tensor]",
    stop: Sequence[str],
    streamer: _Pieces | None = None,
) -> "torch.Tensor":
    """Prompts and their continuations, [b, t + new], under the model's settings as they are now."""
    width = inputs["input_ids"].shape[1]
    output: torch.Tensor = model.generate(  # type: ignore[operator]
        **inputs, streamer=streamer, stopping_criteria=[_stopped_rows(tokenizer, width, stop)] if stop else None
    )
    return output


def _end_tokens(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> set[int]:
    """Tokens that end a text: the model's (a chat model names several) and the tokenizer's."""
    own = model.generation_config.eos_token_id if model.generation_config is not None else None
    named = own if isinstance(own, list) else [own]
    return {token for token in (*named, tokenizer.eos_token_id) if token is not None}


def _config(settings: Generation, pad: int, ends: set[int]) -> "GenerationConfig":
    from transformers import GenerationConfig

    # top_k=0 switches off the 50 that transformers would sample from.
    sampling = {"temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0} if settings.do_sample else {}
    return GenerationConfig(
        max_new_tokens=settings.max_new_tokens,
        do_sample=settings.do_sample,
        pad_token_id=pad,
        eos_token_id=sorted(ends) or None,
        **sampling,
    )


@contextmanager
def _settings_alone(model: "PreTrainedModel", config: "GenerationConfig") -> Iterator[None]:
    """Replaces the model's own settings, as generate() would fill whatever is unset from those."""
    own = model.generation_config
    model.generation_config = config
    try:
        yield
    finally:
        model.generation_config = own


def _batch_seed(seed: int, indices: list[int]) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{indices}".encode()).digest()[:7])


def _stopped_rows(tokenizer: "PreTrainedTokenizerBase", width: int, stop: Sequence[str]) -> object:
    """A stopping criterion: which rows of token ids [b, width + new] hold a stop text after their prompt."""
    import torch

    def stopped(ids: "torch.Tensor", scores: object, **_: object) -> "torch.Tensor":
        texts = (tokenizer.decode(row, skip_special_tokens=True) for row in ids[:, width:].tolist())
        return torch.tensor([any(end in text for end in stop) for text in texts], device=ids.device)

    return stopped


def _text(tokenizer: "PreTrainedTokenizerBase", new: list[int], ends: set[int], stop: Sequence[str]) -> str:
    """What a row of new tokens says, up to its first end token or stop text."""
    text = str(tokenizer.decode(new[: _length(new, ends)], skip_special_tokens=True))
    return text[: min((text.find(end) for end in stop if end in text), default=len(text))]


def _length(new: list[int], ends: set[int]) -> int:
    """How many new tokens stand before the first that ends a text."""
    return next((place for place, token in enumerate(new) if token in ends), len(new))
