"""Logits of the positions that are asked for, made in pieces where all of them together would be large.

A vocabulary of 262,144 makes 1 MiB of logits a token in float32, and their logarithms as much again. So the model runs
up to its output head, and the head, with whatever the family does to what it puts out (soft capping, a scale), runs on
some positions at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel
    from transformers.utils.generic import ModelOutput

# What the logits of a batch may take at most, with copies; up to here they are made at once.
AT_ONCE = 256 * 2**20
# Copies of the logits beside those of the head, in float32: their capped or scaled values, logarithms, a reader's own.
# A CPU's readers get few at a time.
COPIES = 3
COPIES_ON_A_CPU = 1
# What a CPU's caches hold of the float32 copy that readers make: logarithms of 73 rows of 262,144 took several times as
# long at once as 8 rows at a time, for which memory is not asked for anew each time (two cores of an AMD EPYC).
CACHED = 8 * 2**20
# Tokens that a model is tried on, see `_reads_in_pieces`.
TRIED = 8

_known: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


class _Reached(Exception):
    """Stops a forward pass before the output head."""


def position_logits(
    model: PreTrainedModel, inputs: Mapping[str, torch.Tensor], rows: torch.Tensor, columns: torch.Tensor
) -> Iterator[torch.Tensor]:
    """One forward pass without a cache; yields the logits [m, vocabulary] of m positions after those before, as asked.

    A small batch's logits are made at once. Otherwise the state that the model's class hands to its head is kept, and
    the class's own forward pass is made from there with the state of some positions. Whether a model gives the same
    logits in this way as in one pass is tried on a few tokens, once; of one that does not, all logits are made at once.
    On a CPU, what was made at once is handed out a few positions at a time.

    Whoever keeps something of each piece writes it into a tensor made beforehand, see `read_positions`.

    Args:
        inputs: `input_ids` and what goes with them, each [b, t].
        rows, columns: of n positions, each int64 [n]; 0 to b - 1 and 0 to t - 1.
    """
    for logits in _made(model, inputs, rows, columns):
        if logits.device.type == "cpu":
            yield from logits.split(max(1, CACHED // (4 * logits.shape[-1])))
        else:
            yield logits


def read_positions(
    model: PreTrainedModel,
    inputs: Mapping[str, torch.Tensor],
    rows: torch.Tensor,
    columns: torch.Tensor,
    of_piece: Callable[[torch.Tensor, slice], Sequence[torch.Tensor]],
) -> list[torch.Tensor]:
    """What is made of the logits of n positions: tensors [n, …] on the CPU.

    Each is one tensor that pieces are written into. Small tensors that stay between the large ones that are freed can
    hinder the C library from giving that memory out again: when each piece's own were kept, glibc 2.36 took new memory
    for every piece in 5 of 14 processes, so that perplexity by Gemma 3 270M held 3.6 to 5.2 GiB in place of 1.4.

    Args:
        inputs, rows, columns: see `position_logits`.
        of_piece: makes tensors [m, …] of the logits [m, vocabulary] of m positions, and of which of the n these are.
    """
    whole: list[torch.Tensor] = []
    done = 0
    for logits in position_logits(model, inputs, rows, columns):
        here = slice(done, done + len(logits))
        made = of_piece(logits, here)
        whole = whole or [part.new_empty((len(rows), *part.shape[1:]), device="cpu") for part in made]
        for tensor, part in zip(whole, made, strict=True):
            tensor[here] = part
        done += len(logits)
    return whole


def _made(
    model: PreTrainedModel, inputs: Mapping[str, torch.Tensor], rows: torch.Tensor, columns: torch.Tensor
) -> Iterator[torch.Tensor]:
    """As many positions at a time as the head is run on at once."""
    bytes_each = _logits_bytes(model)
    if inputs["input_ids"].numel() * bytes_each <= AT_ONCE or not _reads_in_pieces(model, inputs):
        logits = model(**inputs, use_cache=False).logits
        yield logits[rows.to(logits.device), columns.to(logits.device)]
        return
    state = _state(model, inputs)
    count = max(1, AT_ONCE // bytes_each)
    for some, places in zip(rows.split(count), columns.split(count), strict=True):
        yield _logits_of(model, inputs, state, some, places)


def _logits_bytes(model: PreTrainedModel) -> int:
    """Bytes that a position's logits take."""
    copies = COPIES_ON_A_CPU if model.device.type == "cpu" else COPIES
    return int(model.config.get_text_config().vocab_size) * (model.dtype.itemsize + 4 * copies)


def _body(model: PreTrainedModel) -> torch.nn.Module:
    """The model without its head; the model itself where there is none."""
    base: torch.nn.Module = model.base_model
    return base if base is not model else getattr(model, "model", model)


def _state(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> Any:
    """What the model without its head puts out, as its class gets it."""
    found: list[Any] = []

    def keep(module: object, args: object, output: Any) -> None:
        found.append(output)
        raise _Reached

    handle = _body(model).register_forward_hook(keep)
    try:
        model(**inputs, use_cache=False)
    except _Reached:
        return found[0]
    finally:
        handle.remove()
    raise AssertionError("a model that was tried calls its base model")


def _logits_of(
    model: PreTrainedModel,
    inputs: Mapping[str, torch.Tensor],
    state: ModelOutput,
    rows: torch.Tensor,
    columns: torch.Tensor,
) -> torch.Tensor:
    """[n, vocabulary]: the class's forward pass with the base model's output already there, at n positions."""
    states = state["last_hidden_state"]
    some = copy(state)
    some["last_hidden_state"] = states[rows.to(states.device), columns.to(states.device)].unsqueeze(0)
    base = _body(model)
    own = vars(base).get("forward")
    base.forward = lambda *_, **__: some
    try:
        logits: torch.Tensor = model(**inputs, use_cache=False).logits
    finally:
        if own is None:
            del base.forward
        else:
            # Set by accelerate, where weights are offloaded.
            base.forward = own
    return logits[0]


def _reads_in_pieces(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> bool:
    """Whether the logits of the first few tokens are the same in pieces, up to rounding."""
    if model not in _known:
        _known[model] = _same_in_pieces(model, {name: tensor[:2, :TRIED] for name, tensor in inputs.items()})
    return _known[model]


def _same_in_pieces(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> bool:
    import torch
    from transformers.utils.generic import ModelOutput

    states: list[Any] = []
    if (body := _body(model)) is model:
        return False
    handle = body.register_forward_hook(lambda module, args, output: states.append(output))
    try:
        logits = model(**inputs, use_cache=False).logits
    finally:
        handle.remove()
    shape = inputs["input_ids"].shape
    if len(states) != 1 or not isinstance(states[0], ModelOutput):
        return False
    last = states[0].get("last_hidden_state")
    if not isinstance(last, torch.Tensor) or last.shape[:2] != shape or logits.shape[:2] != shape:
        return False
    # Backwards, so that a position's place in the sequence can't be what made it right.
    rows, columns = (place.flatten().flip(0) for place in torch.unravel_index(torch.arange(shape.numel()), shape))
    pieces = [
        _logits_of(model, inputs, states[0], some, places)
        for some, places in zip(rows.split(3), columns.split(3), strict=True)
    ]
    expected = logits[rows.to(logits.device), columns.to(logits.device)].float()
    found = torch.cat(pieces).float()
    rounding = float(torch.finfo(model.dtype).eps ** 0.75 * expected.abs().max())
    return found.shape == expected.shape and bool(torch.allclose(found, expected, rtol=0, atol=rounding))
