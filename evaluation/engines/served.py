"""A model behind a vLLM server as an engine."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.engines.completions_server import CompletionsServer
from evaluation.engines.decoding import Decoder, Generation, end_tokens
from evaluation.harness.lm_eval_run import TaskRun
from evaluation.measurements.measurement import JSON
from surgery.errors import InputError
from surgery.tokens.encoding import longest_input

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Prompts of a request. The server batches those of all requests as it has room: this only bounds an answer's size.
AT_ONCE = 256
# Requests at once, where each is of one prompt say.
IN_FLIGHT = 64
# What vLLM would otherwise take from the model's own settings.
_PLAIN = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}


@dataclass(frozen=True)
class Served:
    """A model by its name on a server; see `evaluation.engines.engine.Engine`.

    Attributes:
        server: which serves it.
        name: of the base, or of an adapter that is loaded.
        model: without its weights.
        tokenizer: framed as the model is asked.
        version: of the server, for notes.
    """

    server: CompletionsServer
    name: str
    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    version: str

    def continuations(
        self, rows: Sequence[list[int]], settings: Generation, progress: bool = False
    ) -> tuple[list[list[int]], dict[str, str | int]]:
        """With sampling each prompt has a seed of its own, made of the settings' and its place."""
        decoder = Decoder(self.model, self.tokenizer, settings)
        asked: dict[str, Any] = {
            "max_tokens": settings.max_new_tokens,
            "temperature": settings.temperature if settings.do_sample else 0.0,
            "top_p": settings.top_p if settings.do_sample else 1.0,
            # A text to stop at is looked for in answers alone, which the server can't tell from thoughts.
            **({"stop": list(settings.stop)} if settings.stop and not decoder.strips else {}),
            **self._plainly(),
        }
        # Greedy answers go together; a request has one seed, so sampled ones go one by one.
        size = 1 if settings.do_sample else AT_ONCE
        kept: list[list[int]] = []
        for start, choices in self._answers(rows, size, asked, settings, "continuations" * progress):
            if any(choice.get("token_ids") is None for choice in choices):
                raise InputError(f"the server at {self.server.url} tells no token ids; vLLM 0.11 and newer does")
            kept += [decoder.until_end(list(choice["token_ids"])) for choice in choices]
            assert len(kept) == start + len(choices)
        return kept, self._notes("generation")

    def losses(
        self, rows: Sequence[list[int]], scored: Sequence[int], tokens_per_batch: int | None = None, title: str = ""
    ) -> "tuple[np.typing.NDArray[np.float64], Mapping[str, JSON]]":
        """The server's own batches; a budget of tokens has no say there."""
        asked = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0, **_PLAIN}
        losses = np.zeros(len(rows))
        for start, choices in self._answers(rows, AT_ONCE, asked, None, title):
            for place, choice in enumerate(choices, start):
                likelihoods = choice.get("prompt_logprobs") or []
                if len(likelihoods) != len(rows[place]):
                    raise InputError(f"the server at {self.server.url} tells no likelihoods of a prompt; vLLM does")
                chosen = range(len(rows[place]) - scored[place], len(rows[place]))
                losses[place] = -sum(likelihoods[at][str(rows[place][at])]["logprob"] for at in chosen)
        return losses, self._notes("loglikelihood")

    @contextmanager
    def lm_eval(self, run: TaskRun, progress: bool = False) -> Iterator[tuple[Any, Mapping[str, Mapping[str, JSON]]]]:
        """lm-eval's `local-completions`."""
        from evaluation.harness.lm_eval_served import ServedModel

        longest = min(filter(None, (run.max_length, self.longest)))
        lm = ServedModel(self.model, self.tokenizer, self._ask, longest, run.batch_size, run.chat)
        kinds = ("loglikelihood", "loglikelihood_rolling", "generate_until")
        works = ("loglikelihood", "loglikelihood", "generation")
        yield lm, {kind: self._notes(work) for kind, work in zip(kinds, works, strict=True)}

    @cached_property
    def longest(self) -> int:
        """The most tokens of a prompt: one is always asked for beside it."""
        return min(filter(None, (int(self.server.base()["max_model_len"]) - 1, longest_input(self.model))))

    def _answers(
        self, rows: Sequence[list[int]], size: int, asked: Mapping[str, Any], sampling: Generation | None, title: str
    ) -> Iterator[tuple[int, list[Mapping[str, Any]]]]:
        """(the first row's place, the server's choices) of each request of some rows, in order."""
        from tqdm import tqdm

        def answer(start: int) -> list[Mapping[str, Any]]:
            seed = {"seed": _seed(sampling.seed, start)} if sampling and sampling.do_sample else {}
            found = self._ask({"prompt": list(rows[start : start + size]), **asked, **seed})["choices"]
            return sorted(found, key=itemgetter("index"))

        starts = range(0, len(rows), size)
        pool = ThreadPoolExecutor(max(1, min(len(starts), IN_FLIGHT)))
        try:
            with tqdm(total=len(rows), desc=title, unit="prompt", disable=not title) as bar:
                for start, choices in zip(starts, pool.map(answer, starts), strict=True):
                    yield start, choices
                    bar.update(len(choices))
        finally:
            pool.shutdown(cancel_futures=True)

    def _ask(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.server.complete({"stop_token_ids": self._ends, **payload, "model": self.name})

    def _plainly(self) -> dict[str, Any]:
        return {"return_token_ids": True, "skip_special_tokens": False, **_PLAIN}

    @property
    def _ends(self) -> list[int]:
        return sorted(end_tokens(self.model.generation_config, self.tokenizer))

    def _notes(self, work: str) -> dict[str, str | int]:
        """As a model in memory notes its batches: those of a server are its own."""
        return {"work": work, "engine": f"vllm {self.version}", "halvings": 0}


def _seed(seed: int, place: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{place}".encode()).digest()[:6])
