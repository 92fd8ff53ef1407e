"""Interventions that write whole weights, with exact restore from copies."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from surgery.changes.receipt import Receipt
from surgery.changes.row_change import RowChange
from surgery.errors import InputError
from surgery.model.fingerprints import pop_edit, push_edit, require_base


@dataclass(frozen=True)
class NewWeight:
    """A parameter's new values, in its own dtype and place; layer 0 is what lies outside the blocks."""

    parameter: str
    layer: int
    values: torch.Tensor


def parameter_of(parameters: Mapping[str, torch.nn.Parameter], name: str, shape: Sequence[int]) -> torch.nn.Parameter:
    """A model's parameter of this name and shape; raises InputError where there is none."""
    if name not in parameters or tuple(parameters[name].shape) != tuple(shape):
        raise InputError(f"the model has no {name} of shape {list(shape)}")
    return parameters[name]


class WeightChange(ABC):
    """Changes some of a model's parameters.

    Attributes:
        base_fingerprint: of the model it was made for.
    """

    base_fingerprint: str

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""

    @abstractmethod
    def new_weights(self, model: PreTrainedModel) -> Iterator[NewWeight]:
        """The new values, one parameter at a time; raises InputError where the model does not fit."""

    @contextmanager
    def applied_to(self, model: PreTrainedModel) -> Iterator[Receipt]:
        """Changes the model in place for the body of a `with`, and puts back the very bits that were there.

        Whole parameters are kept for that, in main memory.

        Raises:
            InputError: when the model is not the one it was made for (nor that model with edits applied), nothing
                would change, or a weight would hold NaN; the model is then as it was.
        """
        base = require_base(model, self.base_fingerprint)
        parameters = dict(model.named_parameters())
        saved: dict[str, torch.Tensor] = {}
        push_edit(model, self.fingerprint, base)
        try:
            yield self._write(model, parameters, saved)
        finally:
            pop_edit(model, self.fingerprint)
            for name, values in saved.items():
                parameters[name].data.copy_(values)

    @torch.no_grad()
    def _write(
        self, model: PreTrainedModel, parameters: dict[str, torch.nn.Parameter], saved: dict[str, torch.Tensor]
    ) -> Receipt:
        changes = []
        for new in self.new_weights(model):
            weight = parameters[new.parameter].data
            if weight.device.type == "meta":
                raise InputError(f"{new.parameter} is offloaded, so it can't be changed in place; load it on a device")
            if not new.values.isfinite().all():
                raise InputError(f"{new.parameter} would hold NaN or infinite numbers ({weight.dtype})")
            change = (new.values.float() - weight.float()).reshape(-1, weight.shape[-1])
            rows, squares = int((change != 0).any(1).sum()), float(change.double().square().sum())
            changes.append((new.layer, RowChange(rows, float(change.abs().max()), squares)))
            # A copy also where it lies in main memory already.
            saved[new.parameter] = weight.to("cpu", copy=True)
            weight.copy_(new.values)
        return Receipt.of(changes)
