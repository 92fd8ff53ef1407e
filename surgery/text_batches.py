"""Texts as tokens, and batches of them through a model: what every reading of its states shares."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from surgery.batch_budget import BatchBudget
from surgery.batching import run_in_batches
from surgery.errors import InputError
from surgery.offload import input_device

Result = TypeVar("Result")


def encode(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int | None,
    add_special_tokens: bool,
) -> list[list[int]]:
    """Token ids of each text, without what goes beyond `max_length` (None: no limit) and what the model takes.

    Raises:
        InputError: for a text without tokens.
    """
    room = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    longest = min((limit for limit in (max_length, room) if limit), default=None)
    encoded: list[list[int]] = tokenizer(
        list(texts),
        truncation=longest is not None,
        max_length=longest,
        add_special_tokens=add_special_tokens,
        verbose=False,
    )["input_ids"]
    for index, ids in enumerate(encoded):
        if not ids:
            raise InputError(f"text {index + 1} of {len(texts)} has no tokens ({texts[index]!r}); leave it out")
    return encoded


def run_on_texts(
    model: PreTrainedModel,
    encoded: Sequence[list[int]],
    pad: int,
    function: Callable[[Mapping[str, torch.Tensor]], Result],
    budget: BatchBudget,
    *,
    description: str = "",
    progress: bool = False,
) -> Iterator[tuple[list[int], Result]]:
    """Calls a function on batches of like length, without gradients; when one does not fit, the budget is halved.

    Args:
        encoded: token ids of n texts.
        pad: the token that fills up shorter texts, on the right.
        function: given `input_ids` and `attention_mask`, each [b, t], where the model's embedding computes.
        budget: of a batch, padding counted; it tells afterwards what it was lowered to.
        description: of the bar that `progress` shows, with the time that is left.

    Yields:
        The indices of a batch's texts [b], and what the function returned for it.
    """
    lengths = [len(ids) for ids in encoded]
    device = input_device(model)

    def run(indices: list[int]) -> Result:
        width = max(lengths[i] for i in indices)
        ids = torch.tensor([encoded[i] + [pad] * (width - lengths[i]) for i in indices])
        mask = torch.tensor([[1] * lengths[i] + [0] * (width - lengths[i]) for i in indices])
        with torch.no_grad():
            return function({"input_ids": ids.to(device), "attention_mask": mask.to(device)})

    with tqdm(total=sum(lengths), desc=description, unit="token", unit_scale=True, disable=not progress) as bar:
        for indices, result in run_in_batches(lengths, budget, run):
            yield indices, result
            bar.update(sum(lengths[i] for i in indices))
