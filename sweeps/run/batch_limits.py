"""Batches that did not fit in memory, kept in the store so that later processes begin with what did."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgery.model.offload import input_device
from surgery.states.batch_budget import (
    MOST,
    WORKS,
    ModelShape,
    Work,
    budget_limits,
    limit_budget,
    power_of_two,
    total_memory,
)
from sweeps.store.store import Store

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STAGE = "batch_limits"
_BUDGETS = [1 << power for power in range(max(MOST.values()).bit_length())]


class BatchLimits:
    """What a store knows of the budgets that models were left with when memory ran out.

    An entry of the store never changes, so there is one for each budget that was left, a power of two, and the smallest
    counts. It is called by the model's shape and dtype, the device, the kind of work and the tokens, and holds nothing
    beside that.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def recall(self, model: "PreTrainedModel") -> None:
        """Gives a model that was just loaded the limits that are kept for its like."""
        for work in WORKS:
            if found := [tokens for tokens in _BUDGETS if self._store.has(STAGE, _identity(model, work, tokens))]:
                limit_budget(model, work, min(found))

    def keep(self, model: "PreTrainedModel") -> None:
        """Keeps what a model has learned since, and says so on stderr."""
        for work, tokens in budget_limits(model).items():
            identity = _identity(model, work, power_of_two(tokens))
            if not self._store.has(STAGE, identity):
                self._store.get_or_make(STAGE, identity, _nothing)
                print(f"memory ran out: from now on a batch of {work} holds {tokens:,} tokens", file=sys.stderr)


def _identity(model: "PreTrainedModel", work: Work, tokens: int) -> dict[str, Any]:
    device = input_device(model)
    return {
        "model": asdict(ModelShape.of(model)) | {"dtype": str(model.dtype)},
        "device": [device.type, total_memory(device)],
        "work": work,
        "tokens": tokens,
    }


def _nothing(folder: Path) -> None:
    """The entry's name says it all."""
