"""How continuations are made, and what token ids of one say."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from evaluation.inputs.model_input import evaluation_mode, padded
from evaluation.measurements.measurement import JSON
from surgery.errors import InputError
from surgery.tokens.chat import thoughts_of
from surgery.tokens.encoding import padding_id

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

    def stops(self, new: list[int]) -> bool:
        """Whether a stop text stands in the answer of a row of new tokens."""
        answer = self._said(new)[1] or "" if self._settings.stop else ""
        return any(end in answer for end in self._settings.stop)

    def _said(self, new: list[int]) -> tuple[str, str | None]:
        kept = new[: self._length(new)]
        if self._thoughts is not None:
            return self._thoughts.parted(kept)
        return "", str(self._tokenizer.decode(kept, skip_special_tokens=True))

    def _stopped_rows(self, width: int) -> object:
        """A stopping criterion: which rows of token ids [b, width + new] hold a stop text after prompt and thoughts."""
        import torch

        def stopped(ids: "torch.Tensor", scores: object, **_: object) -> "torch.Tensor":
            return torch.tensor([self.stops(row) for row in ids[:, width:].tolist()], device=ids.device)

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
