"""Continuations of prompts, in batches."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from evaluation.inputs.model_input import evaluation_mode, padded
from evaluation.measurements.measurement import JSON
from surgery.errors import InputError
from surgery.states.batch_budget import BatchBudget
from surgery.states.batching import run_in_batches
from surgery.tokens.chat import thoughts_of
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
        prefill: the first words of the answer, put into the model's mouth; without a chat template on a line of their
            own after the prompt.
    """

    max_new_tokens: int = 20
    do_sample: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    tokens_per_batch: int | None = None
    chat: bool = False
    stop: Sequence[str] = ()
    prefill: str = ""

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
        if not self.prefill:
            del settings["prefill"]
        sampling = ("temperature", "top_p", "seed")
        return {name: value for name, value in settings.items() if self.do_sample or name not in sampling}


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
    """Continues each prompt; only what is new comes back.

    Prompts are padded on the left and packed by length. None ends in what the tokenizer ends texts with. One that
    leaves no room for the new tokens within the model's maximum loses its beginning (what the tokenizer begins texts
    with and a chat template stay). Nothing of the model's own generation settings is used but its end-of-sequence
    tokens. With sampling, each batch is seeded by the settings and its samples. Where thoughts are stripped, texts to
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
    import torch
    from tqdm import tqdm

    decoder = Decoder(model, tokenizer, settings)
    lengths = [len(ids) + settings.max_new_tokens for ids in rows]

    def run(indices: list[int]) -> list[list[int]]:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            if settings.do_sample:
                torch.manual_seed(_batch_seed(settings.seed, indices))
            new: list[list[int]] = decoder.new_tokens([rows[i] for i in indices]).tolist()
        return new

    texts: list[str] = [""] * len(rows)
    kept: list[list[int]] = [[] for _ in rows]
    budget = BatchBudget.of(model, "generation", settings.tokens_per_batch)
    with (
        decoder.ready(),
        tqdm(total=len(rows), desc="continuations", unit="prompt", disable=not progress) as bar,
    ):
        for indices, batch in run_in_batches(lengths, budget, run):
            for index, new in zip(indices, batch, strict=True):
                texts[index] = decoder.parted(new)[1] or ""
                kept[index] = decoder.until_end(new)
            bar.update(len(indices))
    return texts, kept, dict(budget.notes())


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


class Decoder:
    """A model and its tokenizer, set to continue token ids as some settings say and in no other way.

    Args:
        model, tokenizer: of the continuations.
        settings: checked.
    """

    def __init__(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", settings: Generation) -> None:
        self._model, self._tokenizer, self._settings = model, tokenizer, settings
        self._pad = padding_id(model, tokenizer)
        self._ends = end_tokens(model.generation_config, tokenizer)
        self._thoughts = thoughts_of(tokenizer, settings.chat)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """The model without dropout and with these settings alone, for the body of a `with`.

        generate() would fill whatever is unset from the model's own.
        """
        own = self._model.generation_config
        with evaluation_mode(self._model):
            self._model.generation_config = self._config()
            try:
                yield
            finally:
                self._model.generation_config = own

    def new_tokens(self, rows: Sequence[list[int]], streamer: object = None) -> "torch.Tensor":
        """The continuations of prompts, [b, new], where the model is `ready`.

        Args:
            rows: token ids of each prompt.
            streamer: told the tokens as they come, as transformers has it.
        """
        inputs = padded(self._model, rows, "left", self._pad)
        width = inputs["input_ids"].shape[1]
        stop = [self._stopped_rows(width)] if self._settings.stop else None
        output: torch.Tensor = self._model.generate(  # type: ignore[operator]
            **inputs, streamer=streamer, stopping_criteria=stop
        )
        return output[:, width:]

    @property
    def strips(self) -> bool:
        """Whether an answer is what follows a thought."""
        return self._thoughts is not None

    def text(self, new: list[int]) -> str:
        """What a row of new tokens says, its thoughts too, up to its first end token or stop text."""
        thoughts, answer = self.parted(new)
        return thoughts + (answer or "")

    def answer_start(self, new: list[int]) -> int | None:
        """The place of an answer's first token in a row of new ones; None where a thought has not ended."""
        return 0 if self._thoughts is None else self._thoughts.answer_start(new[: self._length(new)])

    def until_end(self, new: list[int]) -> list[int]:
        """A row of new tokens up to its first end token, which is among them."""
        return new[: self._length(new) + 1]

    def parted(self, new: list[int]) -> tuple[str, str | None]:
        """(thoughts, the answer up to a stop text, which is scored) of a row of new tokens.

        None for a thought that has not ended.
        """
        thoughts, answer = self._said(new)
        if answer is None:
            return thoughts, None
        places = [answer.find(end) for end in self._settings.stop if end in answer]
        return thoughts, answer[: min(places, default=len(answer))]

    def _said(self, new: list[int]) -> tuple[str, str | None]:
        kept = new[: self._length(new)]
        if self._thoughts is not None:
            return self._thoughts.parted(kept)
        return "", str(self._tokenizer.decode(kept, skip_special_tokens=True))

    def _stopped_rows(self, width: int) -> object:
        """A stopping criterion: which rows of token ids [b, width + new] hold a stop text after prompt and thoughts."""
        import torch

        def stopped(ids: "torch.Tensor", scores: object, **_: object) -> "torch.Tensor":
            answers = (self._said(row)[1] or "" for row in ids[:, width:].tolist())
            found = [any(end in answer for end in self._settings.stop) for answer in answers]
            return torch.tensor(found, device=ids.device)

        return stopped

    def _length(self, new: list[int]) -> int:
        return next((place for place, token in enumerate(new) if token in self._ends), len(new))

    def _config(self) -> "GenerationConfig":
        from transformers import GenerationConfig

        settings = self._settings
        sampling: dict[str, float] = {}
        if settings.do_sample:
            # top_k=0 switches off the 50 that transformers would sample from.
            sampling = {"temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0}
        return GenerationConfig(
            max_new_tokens=settings.max_new_tokens,
            do_sample=settings.do_sample,
            pad_token_id=self._pad,
            eos_token_id=sorted(self._ends) or None,
            **sampling,
        )


def end_tokens(settings: "GenerationConfig | None", tokenizer: "PreTrainedTokenizerBase") -> set[int]:
    """Tokens that end a text: those of a model's own settings (a chat model names several) and the tokenizer's."""
    own = settings.eos_token_id if settings is not None else None
    named = own if isinstance(own, list) else [own]
    return {token for token in (*named, tokenizer.eos_token_id) if token is not None}


def _batch_seed(seed: int, indices: list[int]) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{indices}".encode()).digest()[:7])
