"""Texts as tokens, and batches of them through a model: what every reading of its states shares."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from surgery.errors import InputError
from surgery.model.offload import input_device
from surgery.states.batch_budget import BatchBudget
from surgery.states.batching import run_in_batches
from surgery.tokens.encoding import Encoded, Reading, encode, longest_input
from surgery.tokens.padding import padded

Result = TypeVar("Result")


def reading_of_texts(
    model: PreTrainedModel,
    max_length: int | None,
    chat: bool = False,
    *,
    special_tokens: bool = True,
    group: str = "",
) -> Reading:
    """How texts are read: up to `max_length` tokens (None: no limit) and what the model takes; their ends are cut.

    Args:
        group: what stands before `max_length` and `chat` in errors, `behavior.` say.
    """
    takes = longest_input(model)
    longest = min((limit for limit in (max_length, takes) if limit), default=None)
    return Reading(
        longest,
        chat=chat,
        special_tokens=special_tokens,
        limit=f"{group}max_length={max_length}" if longest == max_length else f"the model takes {takes} tokens",
        key=f"{group}chat",
    )


def encode_texts(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], reading: Reading
) -> Encoded:
    """`encode`, of texts that have something to read.

    Raises:
        InputError: for a text without tokens; see `encode`.
    """
    encoded = encode(model, tokenizer, texts, reading)
    for index, ids in enumerate(encoded.ids):
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
        inputs = padded([encoded[i] for i in indices], pad, device)
        with torch.no_grad():
            return function(inputs)

    with tqdm(total=sum(lengths), desc=description, unit="token", unit_scale=True, disable=not progress) as bar:
        for indices, result in run_in_batches(lengths, budget, run):
            yield indices, result
            bar.update(sum(lengths[i] for i in indices))
