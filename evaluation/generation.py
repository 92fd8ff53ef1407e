"""Continuations of prompts, in batches."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from evaluation.measurement import JSON
from evaluation.model_input import evaluation_mode, longest_input, padded
from surgery.chat import in_chat_template
from surgery.errors import InputError

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
    """Continuations in the order of their prompts, and the tokens a batch held, as they are noted with a result."""

    texts: list[str]
    batches: Mapping[str, str | int]


def generate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    settings: Generation,
    progress: bool = False,
) -> Generated:
    """Continues each prompt; only what is new comes back.

    Prompts are padded on the left and packed by length. One that leaves no room for the new tokens within the
    model's maximum loses its beginning (a leading BOS stays). Nothing of the model's own generation settings is
    used but its end-of-sequence tokens. With sampling, each batch is seeded by the settings and its samples.

    Raises:
        InputError: when the settings can't be used, the new tokens alone exceed the model's maximum, or a chat
            template is asked for and absent.
    """
    import torch
    from tqdm import tqdm

    from surgery.batch_budget import BatchBudget
    from surgery.batching import run_in_batches

    settings.check()
    encoded = _encode(model, tokenizer, prompts, settings)
    lengths = [len(ids) + settings.max_new_tokens for ids in encoded]
    ends = _end_tokens(model, tokenizer)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else next(iter(sorted(ends)), 0)

    def run(indices: list[int]) -> list[str]:
        inputs = padded(model, [encoded[i] for i in indices], "left", pad)
        width = inputs["input_ids"].shape[1]
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            if settings.do_sample:
                torch.manual_seed(_batch_seed(settings.seed, indices))
            output = model.generate(  # type: ignore[operator]
                **inputs,
                stopping_criteria=[_stopped_rows(tokenizer, width, settings.stop)] if settings.stop else None,
            )
        return [_text(tokenizer, row, ends, settings.stop) for row in output[:, width:].tolist()]

    texts: list[str] = [""] * len(prompts)
    budget = BatchBudget.of(model, "generation", settings.tokens_per_batch)
    with (
        evaluation_mode(model),
        _settings_alone(model, _config(settings, pad, ends)),
        tqdm(total=len(prompts), desc="continuations", unit="prompt", disable=not progress) as bar,
    ):
        for indices, batch in run_in_batches(lengths, budget, run):
            for index, text in zip(indices, batch, strict=True):
                texts[index] = text
            bar.update(len(indices))
    return Generated(texts, budget.notes())


def _encode(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[str], settings: Generation
) -> list[list[int]]:
    """Token ids of each prompt, cut on the left to what the model can take."""
    longest = longest_input(model)
    room = None if longest is None else longest - settings.max_new_tokens
    if room is not None and room < 1:
        raise InputError(
            f"max_new_tokens={settings.max_new_tokens} leaves no room for a prompt: this model takes {longest} tokens"
        )
    texts = in_chat_template(tokenizer, prompts, answer_follows=True) if settings.chat else list(prompts)
    # A chat template writes the special tokens itself.
    batch = tokenizer(texts, add_special_tokens=not settings.chat, verbose=False)["input_ids"] if texts else []
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return [_within(list(ids) or [start or 0], room, tokenizer.bos_token_id) for ids in batch]


def _within(ids: list[int], room: int | None, bos: int | None) -> list[int]:
    """The last tokens that fit, after a BOS where there was one."""
    if room is None or len(ids) <= room:
        return ids
    return [ids[0], *ids[len(ids) - room + 1 :]] if ids[0] == bos and room > 1 else ids[-room:]


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
    length = next((place for place, token in enumerate(new) if token in ends), len(new))
    text = str(tokenizer.decode(new[:length], skip_special_tokens=True))
    return text[: min((text.find(end) for end in stop if end in text), default=len(text))]
