"""A model's distributions of the next token, kept as its likeliest tokens and one bin for all others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.inputs.model_input import evaluation_mode, padded
from evaluation.position_logits import read_positions
from surgery.files.tensor_file import read_tensors, save_tensors
from surgery.states.batch_budget import BatchBudget
from surgery.states.batching import run_in_batches

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

FILE, ANSWERS, THOUGHTS = "distributions.safetensors", "answers", "thoughts"


@dataclass(frozen=True)
class Distributions:
    """Of each token of n answers, T tokens in all.

    Attributes:
        samples: n names.
        answers: n lists of token ids, none of them empty.
        tokens: int64 [T, k]: the likeliest tokens.
        logs: float32 [T, k + 1]: their log-probabilities in nats, and in the last column that of all other tokens
            together (−inf where there are none).
        thoughts: n lists of the token ids that came before the answers, where thoughts are no part of them.
    """

    samples: tuple[str, ...]
    answers: tuple[list[int], ...]
    tokens: torch.Tensor
    logs: torch.Tensor
    thoughts: tuple[list[int], ...] = ()

    def save(self, folder: Path) -> None:
        """Writes one file."""
        import torch

        # One word of metadata: safetensors writes several in an order of chance, and equal answers are equal files.
        thoughts = {THOUGHTS: self.thoughts} if self.thoughts else {}
        said = {ANSWERS: json.dumps({"samples": self.samples, "answers": self.answers, **thoughts})}
        tensors = {"tokens": self.tokens.to(torch.int32).contiguous(), "logs": self.logs.contiguous()}
        save_tensors(tensors, folder / FILE, metadata=said)

    @classmethod
    def load(cls, folder: Path) -> Distributions:
        """Reads what `save` wrote; raises InputError where it can't be read."""
        tensors, metadata = read_tensors(folder / FILE, f"'{folder / FILE}'")
        said = json.loads(metadata[ANSWERS])
        answers, thoughts = tuple(said["answers"]), tuple(said.get(THOUGHTS, ()))
        return cls(tuple(said["samples"]), answers, tensors["tokens"].long(), tensors["logs"], thoughts)

    def only(self, samples: Sequence[str]) -> Distributions:
        """Those of some samples, in the order given; KeyError for one that is not there."""
        starts, total = {}, 0
        for place, (name, answer) in enumerate(zip(self.samples, self.answers, strict=True)):
            starts[name] = (place, total)
            total += len(answer)
        answers = tuple(self.answers[starts[name][0]] for name in samples)
        rows = [
            row
            for name, answer in zip(samples, answers, strict=True)
            for row in range(starts[name][1], starts[name][1] + len(answer))
        ]
        thoughts = tuple(self.thoughts[starts[name][0]] for name in samples) if self.thoughts else ()
        return Distributions(tuple(samples), answers, self.tokens[rows], self.logs[rows], thoughts)

    def read_from(self, prompts: Sequence[list[int]]) -> list[list[int]]:
        """What the answers follow: the token ids of n prompts, and the thoughts after them."""
        thoughts = self.thoughts or ([],) * len(prompts)
        return [prompt + thought for prompt, thought in zip(prompts, thoughts, strict=True)]


def likeliest(logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens [m, k], logs [m, k + 1]) of logits [m, vocabulary]; k is at most the vocabulary."""
    logs = logits.float().log_softmax(-1)
    tokens = logs.topk(min(count, logs.shape[-1])).indices
    return tokens, _binned(logs, tokens)


def divergences(logs: torch.Tensor, tokens: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """KL(p ‖ q) over the bins of p, in nats, float64 [m]; never more than that over all tokens.

    Putting tokens into one bin is a function of the token, and no function of what is drawn makes two distributions
    easier to tell apart: the data processing inequality (Cover and Thomas 2006, Theorem 2.8.1 for its proof's form).

    Args:
        logs, tokens: p, as `likeliest` gives it.
        logits: of q, [m, vocabulary].
    """
    import torch

    p, q = logs.double(), _binned(logits.float().log_softmax(-1), tokens).double()
    # A bin that p never draws from adds nothing, whatever q makes of it.
    terms = torch.where(p == -torch.inf, 0.0, p.exp() * (p - q))
    return terms.sum(-1).clamp_min(0.0)


def read_answers(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    answers: Sequence[list[int]],
    budget: BatchBudget,
    of_piece: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, ...]],
) -> Iterator[tuple[int, tuple[torch.Tensor, ...]]]:
    """Reads prompts with their answers in one forward pass each; yields (index of a sample, what was made of it).

    Args:
        prompts, answers: n lists of token ids each, none of them empty.
        of_piece: makes tensors [m, …] on the CPU of the logits [m, vocabulary] of m answer tokens; it is given their
            places too, int64 [m], counted through all answers.
    """
    import torch

    starts = torch.tensor([0, *map(len, answers)]).cumsum(0)[:-1]

    def run(indices: list[int]) -> list[tuple[torch.Tensor, ...]]:
        # The last token is never read on from.
        rows = [prompts[i] + answers[i][:-1] for i in indices]
        sizes = [len(answers[i]) for i in indices]
        row = torch.repeat_interleave(torch.tensor(sizes))
        column = torch.cat([torch.arange(len(prompts[i]) - 1, len(ids)) for i, ids in zip(indices, rows, strict=True)])
        place = torch.cat([starts[i] + torch.arange(len(answers[i])) for i in indices])
        inputs = padded(model, rows, "right", pad=0)
        whole = read_positions(model, inputs, row, column, lambda logits, here: of_piece(logits, place[here]))
        return list(zip(*(tensor.split(sizes) for tensor in whole), strict=True))

    lengths = [len(prompt) + len(answer) - 1 for prompt, answer in zip(prompts, answers, strict=True)]
    with evaluation_mode(model):
        for indices, made in run_in_batches(lengths, budget, run):
            yield from zip(indices, made, strict=True)


def _binned(logs: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """[m, k + 1]: the log-probabilities of some tokens, and that of all others together."""
    import torch

    tokens = tokens.to(logs.device)
    others = logs.scatter(-1, tokens, -torch.inf).logsumexp(-1, keepdim=True)
    return torch.cat([logs.gather(-1, tokens), others], -1)
