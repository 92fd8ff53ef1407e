"""Perplexity of texts, in windows."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from evaluation.engines.engine import engine_of
from evaluation.inputs.named_files import file_digest, read_text, require_file
from evaluation.measurements.measurement import JSON, Half, Measurement
from surgery.errors import InputError
from surgery.files.hub import HubFiles, on_the_hub
from surgery.texts.tables import read_table
from surgery.tokens.encoding import embedding_rows, longest_input, require_embeddings, token_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_WHAT = "the perplexity text"
# Nats a token beyond which a perplexity is no number of float64.
_LARGEST_LOSS = 700.0


@dataclass(frozen=True)
class Perplexity:
    """Token perplexity of whole files, as in the paper (WikiText-2 joined, windows of 1,024, stride 1,024).

    A file is tokenized once, as it is, with what the tokenizer puts before a text and without what it puts after it,
    and cut into windows of min(window, the model's maximum); the last, shorter one is kept. Every token but the first
    of a window is scored, from what stands before it in the window. With a smaller stride windows overlap and a token
    is scored once, in the first window that reaches it: the procedure of Hugging Face's documentation, with the mean
    taken over tokens.

    Attributes:
        texts: {name: file}; each gives `perplexity/<name>`. A file of text; or `.parquet`, here or on the hub (see
            `surgery.files.hub`), whose rows of the column `text` are joined by blank lines, as WikiText-2's are.
        window: tokens.
        stride: from one window's start to the next, at most the window; None is the window.
        tokens_per_batch: budget of a batch; None is found from the model and its device.
        half: of the measurements.
    """

    texts: Mapping[str, str | Path]
    window: int = 1024
    stride: int | None = None
    half: Half = "report"
    tokens_per_batch: int | None = None

    cost: ClassVar[int] = 1
    asks_engine: ClassVar[bool] = True

    def first_look(self) -> Self | None:
        """Itself on the selection half."""
        return self if self.half == "selection" else None

    def check(self) -> None:
        """Reads the files; raises InputError when one can't be used, or for windows that can't be."""
        tokens = 1 if self.tokens_per_batch is None else self.tokens_per_batch
        if self.window < 2 or not 1 <= self._stride() <= self.window or tokens < 1:
            raise InputError(
                f"window={self.window}, stride={self.stride}, tokens_per_batch={self.tokens_per_batch} can't be used: "
                "a window has 2 tokens or more, a stride is 1 to the window, a batch has 1 token or more"
            )
        for path in self.texts.values():
            _read(path)

    def prepare(self) -> None:
        """Nothing is needed beside the model."""

    def check_prompts(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[str]:
        """Looks for tokens that the model has no embedding of; see `evaluation.evaluator.ShowsPrompts`."""
        if max(tokenizer.get_vocab().values(), default=0) >= embedding_rows(model):
            for path in self.texts.values():
                _encoded(model, tokenizer, path)
        return []

    def identity(self) -> dict[str, JSON]:
        """The content of the files and the windows."""
        return {
            "kind": "perplexity",
            "texts": {name: file_digest(_file(path)) for name, path in self.texts.items()},
            "window": self.window,
            "stride": self._stride(),
            "tokens_per_batch": self.tokens_per_batch,
            "half": self.half,
        }

    def metric_names(self) -> list[str]:
        """See `evaluation.evaluator.NamesMetrics`."""
        return [f"perplexity/{name}" for name in self.texts]

    def measure(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", progress: bool = False
    ) -> list[Measurement]:
        """One measurement a text, one score a window: its negative log-likelihood in nats.

        Raises:
            InputError: see `check`; or for a text of fewer than two tokens.
        """
        window = self._window(model)
        measurements = []
        for name, path in self.texts.items():
            ids = _encoded(model, tokenizer, path)
            spans = windows(len(ids), window, min(self._stride(), window))
            if not spans:
                raise InputError(f"{_WHAT} '{path}' has {len(ids)} tokens; two are needed to score one")
            pieces = [ids[start:end] for start, end, _ in spans]
            scored = [count for _, _, count in spans]
            losses, notes = engine_of(model, tokenizer).losses(
                pieces, scored, self.tokens_per_batch, f"perplexity {name}" * progress
            )
            measurements.append(
                Measurement(
                    name=f"perplexity/{name}",
                    half=self.half,
                    sample_ids=tuple(_window_id(start, ids[start:end]) for start, end, _ in spans),
                    scores=losses,
                    statistic="perplexity",
                    weights=np.array(scored, dtype=np.float64),
                    inputs=tuple(str(tokenizer.decode(piece[:16])) for piece in pieces),
                    notes=notes,
                )
            )
        return measurements

    def beginning(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", tokens: int) -> list[list[int]]:
        """The token ids of the first text's beginning, in its windows and without overlap, so many tokens in all."""
        path = next(iter(self.texts.values()))
        ids, window = _encoded(model, tokenizer, path)[:tokens], self._window(model)
        return [ids[start:end] for start, end, _ in windows(len(ids), window, window)]

    def _window(self, model: "PreTrainedModel") -> int:
        return min(self.window, longest_input(model) or self.window)

    def _stride(self) -> int:
        return self.window if self.stride is None else self.stride


def perplexity_of(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", pieces: Sequence[list[int]]) -> float:
    """Token perplexity of pieces of text, each by itself, as the model is now; infinite where it gives no numbers.

    Args:
        pieces: token ids of each; every token but the first of a piece is scored.

    Raises:
        InputError: when no token is scored.
    """
    pieces = [piece for piece in pieces if len(piece) > 1]
    scored = [len(piece) - 1 for piece in pieces]
    if not pieces:
        raise InputError(f"{_WHAT} has fewer than two tokens; two are needed to score one")
    losses, _ = engine_of(model, tokenizer).losses(pieces, scored)
    loss = float(losses.sum() / sum(scored))
    return math.exp(loss) if loss < _LARGEST_LOSS else math.inf


def _file(path: str | Path) -> Path:
    """The one file that a path or an address on the hub names; raises InputError."""
    if not on_the_hub(path):
        return require_file(path, _WHAT)
    found = HubFiles.parse(str(path), _WHAT).fetch(_WHAT)
    if len(found) > 1:
        raise InputError(f"{_WHAT} '{path}' is {len(found)} files; name one")
    return found[0]


def _read(path: str | Path) -> str:
    file = _file(path)
    if file.suffix != ".parquet":
        return read_text(file, _WHAT)
    table = read_table(file, _WHAT)
    rows = table.column("text")
    if empty := [place for place, row in zip(table.places, rows, strict=True) if not isinstance(row, str)]:
        raise InputError(f"{_WHAT} '{path}' holds no text in {empty[0]}")
    return "\n\n".join(rows)


def _encoded(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", path: str | Path) -> list[int]:
    ids = token_ids(tokenizer, [_read(path)])
    require_embeddings(model, tokenizer, ids, f"{_WHAT} '{path}', text")
    return ids[0]


def windows(tokens: int, window: int, stride: int) -> list[tuple[int, int, int]]:
    """(start, end, how many tokens at the end are scored) of each window that scores any."""
    spans, reached = [], 0
    for start in range(0, tokens, stride):
        end = min(start + window, tokens)
        # The first token of a window has nothing before it.
        scored = min(end - reached, end - start - 1)
        if scored > 0:
            spans.append((start, end, scored))
        reached = end
        if end == tokens:
            break
    return spans


def _window_id(start: int, ids: list[int]) -> str:
    """Says where the window starts and what is in it, so that another text's windows don't pair with this one's."""
    return f"{start}-{hashlib.sha256(str(ids).encode()).hexdigest()[:8]}"
