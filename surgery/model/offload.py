"""A model's parameters wherever they lie: on a device, or offloaded by accelerate to memory or disk.

An offloaded parameter is a placeholder (device `meta`); accelerate's hook fetches its values from a map for each
forward pass. What is offloaded to disk may lie in the base's own files, which an edit must never write to: the edited
tensor is put on top of them in the map, and taken away again.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from surgery.errors import InputError


class Weights(Mapping[str, torch.Tensor]):
    """The values of a model's parameters by name; offloaded ones are read when they are asked for."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._parameters = dict(model.named_parameters())

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __getitem__(self, name: str) -> torch.Tensor:
        parameter = self._parameters[name]
        if parameter.device.type != "meta":
            return parameter.data
        values, key = self._offloaded(name)
        found: torch.Tensor = values[key]
        return found.detach()

    def shape(self, name: str) -> tuple[int, ...] | None:
        """A parameter's shape; None where there is none of that name."""
        return tuple(self._parameters[name].shape) if name in self._parameters else None

    def writable(self, name: str) -> torch.Tensor:
        """The values to write to; the model computes with what is written there, and no file changes.

        For a parameter on disk this is a copy that stays in memory until `release`.
        """
        if self._parameters[name].device.type != "meta":
            return self._parameters[name].data
        values, key = self._offloaded(name)
        in_memory = _in_memory(values, name)
        if key not in in_memory:
            in_memory[key] = values[key].detach().clone()
        return in_memory[key].detach()

    def release(self, name: str) -> None:
        """Lets go of the copy of a parameter on disk, so that its file counts again."""
        if self._parameters[name].device.type == "meta":
            values, key = self._offloaded(name)
            if key in getattr(values, "index", {}):
                del _in_memory(values, name)[key]

    def on_disk(self, name: str) -> bool:
        """Whether a parameter's values lie in a file, with no copy in memory."""
        if self._parameters[name].device.type != "meta":
            return False
        values, key = self._offloaded(name)
        return key not in _in_memory(values, name)

    def _offloaded(self, name: str) -> tuple[Any, str]:
        """The map that a placeholder's values are fetched from, and its key there."""
        owner = name
        while owner:
            owner = owner.rpartition(".")[0]
            for hook in _hooks(self._model.get_submodule(owner)):
                values = getattr(hook, "weights_map", None)
                key = name.removeprefix(f"{owner}.") if owner else name
                while values is not None and hasattr(values, "prefix"):
                    values, key = values.dataset, f"{values.prefix}{key}"
                if values is not None and key in values:
                    return values, key
        raise InputError(f"{name} has no values on any device and is not offloaded by accelerate; load the model again")


def input_device(model: PreTrainedModel) -> torch.device:
    """Where token ids have to lie: where the embedding computes, also if its weights are offloaded."""
    embedding = model.get_input_embeddings()
    device = next(embedding.parameters()).device
    if device.type != "meta":
        return device
    for module in (embedding, model):
        for hook in _hooks(module):
            if getattr(hook, "execution_device", None) is not None:
                return torch.device(hook.execution_device)
    return torch.device("cpu")


def _hooks(module: nn.Module) -> list[Any]:
    hook = getattr(module, "_hf_hook", None)
    return [] if hook is None else list(getattr(hook, "hooks", [hook]))


def _in_memory(values: Any, name: str) -> MutableMapping[str, torch.Tensor]:
    in_memory = getattr(values, "state_dict", values)
    if not isinstance(in_memory, MutableMapping):
        raise InputError(f"{name} is offloaded in a way that can't be edited in place; load it on a device")
    return in_memory
