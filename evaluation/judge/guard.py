"""Guard models: causal language models that say of a prompt and its answer whether they are safe."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from evaluation.continuations import Judged
from evaluation.engines.decoding import Generation
from evaluation.generation import continue_rows
from evaluation.inputs.isolation import preserved_random_state
from evaluation.inputs.model_input import evaluation_mode, padded
from evaluation.judge.guard_file import LEAST, UNPARSED, GuardFile, read_guard
from evaluation.judge.guard_model import Loaded, check_rendering, digests, encoded, load_guard, places, tokenizer_of
from evaluation.judge.known_judges import called
from evaluation.measurements.measurement import JSON
from evaluation.position_logits import read_positions
from surgery.errors import InputError
from surgery.states.batch_budget import BatchBudget
from surgery.states.batching import run_in_batches

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Verdicts:
    """What a guard says of n answers.

    Attributes:
        said: for each pair of classes, n names: of a class, or `unparsed`.
        scores: float64 [n], where the guard gives grades.
        batches: as they are noted with a result.
    """

    said: list[list[str]]
    scores: NDArray[np.float64] | None
    batches: dict[str, JSON]


@dataclass(frozen=True)
class Guard:
    """A guard model as a judge of continuations; reads the prompt too.

    Attributes:
        file: the guard's YAML, by the name of one that comes with this package, or a path; see `GuardFile`.
        model: a folder, a GGUF file or a hub name, in place of the file's.
        adapter: likewise.
        revision: branch, tag or commit of the model on the hub.
        name: of the metrics, `guard/<name>/…`; None is the file's.
        tokens_per_batch: budget of a batch, padding counted; None is found from the guard and its device.
        dtype, device: as `surgery.load_model` takes them.
    """

    file: str
    model: str | None = None
    adapter: str | None = None
    revision: str | None = None
    name: str | None = None
    tokens_per_batch: int | None = None
    dtype: str = "auto"
    device: str = "auto"
    _kept: dict[str, tuple[Path, Path | None]] = field(default_factory=dict, compare=False, repr=False)

    prefix: ClassVar[str] = "guard"

    @property
    def called(self) -> str:
        """What the metrics are called by."""
        return self.name or called(self.file)

    def check(self) -> None:
        """Reads the guard's file and holds its template against its tokenizer; raises InputError. Loads no weights."""
        guard, what = read_guard(self.file), f"the guard '{self.file}'"
        if self.tokens_per_batch is not None and self.tokens_per_batch < 1:
            raise InputError(f"{what}: tokens_per_batch={self.tokens_per_batch} has to be 1 or more, or null")
        if guard.model is None and self.model is None:
            raise InputError(f"{what} names no model; give one, a folder, a GGUF file or a hub name")
        if guard.turns:
            check_rendering(tokenizer_of(self._places()[0]), guard, what)

    def prepare(self) -> None:
        """Loads the guard; raises InputError."""
        self._loaded()

    def identity(self) -> dict[str, JSON]:
        """All that the guard's file says, and the model's files by content."""
        place, adapter = self._places()
        guard = read_guard(self.file)
        return {
            "kind": self.prefix,
            "name": self.called,
            "version": guard.version,
            "file": guard.identity(),
            "model": dict(digests(place)),
            **({"adapter": dict(digests(adapter))} if adapter is not None else {}),
            "dtype": self.dtype,
            "tokens_per_batch": self.tokens_per_batch,
        }

    def metric_names(self) -> list[str]:
        """See `evaluation.evaluator.NamesMetrics`."""
        guard = read_guard(self.file)
        rates = [f"{one}_rate" for pair in guard.pairs for one in pair]
        others = [guard.unparsed(place) for place in range(len(guard.pairs))] + ["score"] * (guard.rule == "grades")
        return [f"guard/{self.called}/{name}" for name in (*rates, *others)]

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> Judged:
        """`guard/<name>/<class>_rate` of each class, and `…/unparsed`; [n] each. What is unparsed is of no class.

        Of a further pair of classes the unparsed are `…/unparsed_<first class>`; grades are `…/score` too.
        """
        guard, verdicts = read_guard(self.file), self.verdicts(prompts, continuations)
        scores: dict[str, NDArray[np.float64]] = {}
        for place, (pair, said) in enumerate(zip(guard.pairs, verdicts.said, strict=True)):
            for one in pair:
                scores[f"guard/{self.called}/{one}_rate"] = _share(said, one)
            scores[f"guard/{self.called}/{guard.unparsed(place)}"] = _share(said, UNPARSED)
        if verdicts.scores is not None:
            scores[f"guard/{self.called}/score"] = verdicts.scores
        return Judged(scores, verdicts.batches)

    def main_verdicts(self, judged: Judged) -> list[str]:
        """The class of each continuation by the first pair, or `unparsed`, from what `score` gave."""
        names = {one: judged[f"guard/{self.called}/{one}_rate"] for one in read_guard(self.file).pairs[0]}
        places = zip(*names.values(), strict=True)
        return [next((name for name, value in zip(names, values, strict=True) if value), UNPARSED) for values in places]

    def verdicts(self, prompts: Sequence[str], continuations: Sequence[str]) -> Verdicts:
        """What the guard says of each prompt and its continuation."""
        guard = read_guard(self.file)
        model, tokenizer = self._loaded()
        new = int(guard.verdict.get("max_new_tokens", 32)) if guard.rule == "written" else 0
        pairs = [
            encoded(model, tokenizer, guard, prompt, answer, new)
            for prompt, answer in zip(prompts, continuations, strict=True)
        ]
        rows, cut = [ids for ids, _ in pairs], {"answers_cut": sum(cut for _, cut in pairs)}
        with preserved_random_state():
            if guard.rule == "written":
                settings = Generation(max_new_tokens=new, tokens_per_batch=self.tokens_per_batch)
                texts, _, notes = continue_rows(model, tokenizer, rows, settings)
                found = [[_written(text, pair) for text in texts] for pair in guard.verdict["written"]]
                return Verdicts(found, None, {**notes, **cut})
            budget = BatchBudget.of(model, "judging", self.tokens_per_batch)
            said, scores = _by_likelihood(guard, self._likelihoods(guard, (model, tokenizer), rows, budget))
        graded = scores if guard.rule == "grades" else None
        return Verdicts([said], graded, {"tokens_per_batch": budget.tokens, "halvings": budget.halvings, **cut})

    def _likelihoods(
        self, guard: GuardFile, loaded: Loaded, rows: list[list[int]], budget: BatchBudget
    ) -> NDArray[np.float64]:
        """The probability of each verdict's first token after the rows, [n, words]."""
        import torch

        model, tokenizer = loaded
        words = guard.verdict["tokens"].values() if guard.rule == "tokens" else guard.verdict["grades"]
        tokens = [_first_token(tokenizer, str(word)) for word in words]
        if len(set(tokens)) < len(tokens):
            raise InputError(f"the guard '{self.file}': its verdicts begin with the same token; read what is written")

        def run(indices: list[int]) -> "torch.Tensor":
            inputs = padded(model, [rows[i] for i in indices], "right", 0)
            last = torch.tensor([len(rows[i]) - 1 for i in indices])
            (shares,) = read_positions(
                model,
                inputs,
                torch.arange(len(indices)),
                last,
                lambda logits, _: [logits.float().softmax(-1)[:, tokens].double()],
            )
            return shares

        found = np.zeros((len(rows), len(tokens)))
        with evaluation_mode(model):
            for indices, probabilities in run_in_batches([len(row) for row in rows], budget, run):
                found[indices] = probabilities.numpy()
        return found

    def _places(self) -> tuple[Path, Path | None]:
        if "places" not in self._kept:
            guard = read_guard(self.file)
            path = self.model or guard.model
            if path is None:
                raise InputError(f"the guard '{self.file}' names no model; give one")
            # An adapter belongs to the model that the file names.
            adapter = self.adapter or (guard.adapter if self.model is None else None)
            self._kept["places"] = places(path, self.revision, adapter)
        return self._kept["places"]

    def _loaded(self) -> Loaded:
        place, adapter = self._places()
        return load_guard(place, adapter, self.model or str(read_guard(self.file).model), self.dtype, self.device)


def _by_likelihood(guard: GuardFile, found: NDArray[np.float64]) -> tuple[list[str], NDArray[np.float64]]:
    """(verdicts, scores) from the probabilities [n, words]; what has little of the probability is unparsed."""
    whole = found.sum(1)
    shares = found / np.maximum(whole, np.finfo(np.float64).tiny)[:, None]
    weights = [1.0, 0.0] if guard.rule == "tokens" else [float(grade) for grade in guard.verdict["grades"].values()]
    scores = shares @ np.array(weights)
    [(wanted, other)] = guard.pairs
    threshold = float(guard.verdict.get("threshold", 0.5))
    least = float(guard.verdict.get("least", LEAST))
    said = [
        UNPARSED if total < least else wanted if score >= threshold else other
        for total, score in zip(whole, scores, strict=True)
    ]
    return said, scores


def _written(text: str, pair: dict[str, str]) -> str:
    """The class whose pattern is found; unparsed where none is, or both are."""
    found = [name for name, pattern in pair.items() if re.search(pattern, text, re.IGNORECASE)]
    return found[0] if len(found) == 1 else UNPARSED


def _first_token(tokenizer: "object", word: str) -> int:
    ids: list[int] = tokenizer(word, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
    return ids[0]


def _share(said: Sequence[str], wanted: str) -> NDArray[np.float64]:
    return np.array([one == wanted for one in said], dtype=np.float64)
