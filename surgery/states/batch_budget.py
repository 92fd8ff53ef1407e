"""How many tokens a batch may hold: by arithmetic from the model and its device, and less once memory ran out.

What is learned when memory runs out belongs to the model in memory: every caller finds it there, an edit is applied to
the same object, and it goes when the model goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, get_args
from weakref import WeakKeyDictionary

from surgery.machine.machine_memory import machine_memory
from surgery.model.offload import input_device

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

Work = Literal["hidden_states", "generation", "loglikelihood", "judging"]
WORKS: tuple[Work, ...] = get_args(Work)

# Of what the weights leave of a device's memory. The other half is for what is not counted: attention scores where
# they are written out, the rows that an edit saves, judges on the same device, fragments.
SHARE = 0.5
LEAST = 256
# Where more tokens stop paying. A forward pass keeps a device busy from some thousand on; each step of a generation
# reads all weights for one token a row, and lm-eval's batches have as many short rows as long ones, so both want more.
MOST: Mapping[Work, int] = {"hidden_states": 8192, "generation": 65536, "loglikelihood": 65536, "judging": 8192}
# The most on a CPU, where what passes between the layers should stay in the caches: 8,192 tokens of hidden states take
# twice the time of 1,024 a token (benchmarks/hidden_states.py).
ON_A_CPU: Mapping[Work, int] = {"hidden_states": 1024, "generation": 8192, "loglikelihood": 4096, "judging": 8192}

# The largest budget that is left to each kind of work, for models that ran out of memory.
_limits: WeakKeyDictionary[nn.Module, dict[Work, int]] = WeakKeyDictionary()


@dataclass(frozen=True)
class ModelShape:
    """The numbers of a model that say what a token costs.

    Attributes:
        layers: blocks.
        stream: numbers of the residual stream.
        widest: numbers of the widest layer, a mixture's experts of one token together.
        vocabulary: logits of a token.
        cached: keys and values of a token in one layer, 2 × heads × head size.
        number_bytes: of one number.
    """

    layers: int
    stream: int
    widest: int
    vocabulary: int
    cached: int
    number_bytes: int

    @classmethod
    def of(cls, model: PreTrainedModel) -> Self:
        """From the model's config."""
        config = model.config.get_text_config()
        stream = int(config.hidden_size)
        heads = getattr(config, "num_attention_heads", None) or 1
        head_size = getattr(config, "head_dim", None) or stream // heads
        inner = getattr(config, "intermediate_size", None) or 4 * stream
        dense = max(inner) if isinstance(inner, list | tuple) else inner
        experts = getattr(config, "num_experts_per_tok", None) or 0
        return cls(
            layers=int(config.num_hidden_layers),
            stream=stream,
            widest=int(max(dense, experts * (getattr(config, "moe_intermediate_size", None) or dense))),
            vocabulary=int(config.vocab_size),
            cached=int(2 * (getattr(config, "num_key_value_heads", None) or heads) * head_size),
            number_bytes=model.dtype.itemsize,
        )


def token_bytes(shape: ModelShape, work: Work) -> int:
    """Bytes that one token of a batch takes, padding or not.

    Within a block at most some four copies of the widest layer (gate, its activation, up, their product) and eight of
    the residual stream (it, its norm in float32, queries, keys, values, the output) are alive. Reading likelihoods adds
    the logits, and their logarithms in float32, of all tokens: most models make them in pieces
    (`evaluation.position_logits`), but not every one can. Generation adds the keys and values of all layers; its
    logits, one token's a row, are not counted.
    """
    activations = shape.number_bytes * (4 * shape.widest + 8 * shape.stream)
    if work == "generation":
        return activations + shape.number_bytes * shape.layers * shape.cached
    return activations + (shape.vocabulary * (shape.number_bytes + 4) if work == "loglikelihood" else 0)


def tokens_that_fit(shape: ModelShape, work: Work, memory: int, weights: int) -> int:
    """Tokens of a batch: SHARE of the memory that the weights leave, by the bytes of a token.

    A power of two, LEAST to MOST. It depends on no measurement, so it is the same whatever else runs.

    Args:
        memory: all of a device's, in bytes, used or not.
        weights: bytes of the model on it.
    """
    fitting = int(SHARE * max(0, memory - weights)) // token_bytes(shape, work)
    return power_of_two(min(MOST[work], max(LEAST, fitting)))


def power_of_two(number: int) -> int:
    """The largest that is at most a number of 1 or more."""
    return 1 << (number.bit_length() - 1)


def found_budget(model: PreTrainedModel, work: Work) -> int:
    """Tokens of a batch where the model is: what fits on the fullest of its devices; on a CPU at most `ON_A_CPU`.

    A CPU counts where there is no other device: what is offloaded to it is computed elsewhere.
    """
    weights = {input_device(model): 0}
    for parameter in model.parameters():
        if parameter.device.type != "meta":
            size = parameter.numel() * parameter.element_size()
            weights[parameter.device] = weights.get(parameter.device, 0) + size
    shape = ModelShape.of(model)
    fitting = {device: tokens_that_fit(shape, work, total_memory(device), size) for device, size in weights.items()}
    elsewhere = [tokens for device, tokens in fitting.items() if device.type != "cpu"]
    return min(elsewhere) if elsewhere else min(ON_A_CPU[work], *fitting.values())


def total_memory(device: torch.device) -> int:
    """All memory of a device, in bytes: a fact of the machine, where free memory is one of the moment.

    Of a CPU that which this process may hold, see `surgery.machine.machine_memory`.
    """
    if device.type == "cpu":
        return machine_memory()
    import torch

    module = torch.get_device_module(device)
    return int(module.get_device_properties(device).total_memory)


class BatchBudget:
    """The tokens that a batch of one run may hold, padding counted; halved when memory runs out.

    Attributes:
        work: the kind.
        tokens: most tokens of a batch.
        halvings: how often memory ran out in this run.
    """

    def __init__(self, model: nn.Module, work: Work, tokens: int) -> None:
        """Of a model; `tokens` is what is asked for, and more than has been too much before is not taken."""
        self.work: Work = work
        self.tokens = min(tokens, _limits.get(model, {}).get(work, tokens))
        self.halvings = 0
        self._model = model

    @classmethod
    def of(cls, model: PreTrainedModel, work: Work, tokens: int | None = None) -> Self:
        """The budget that is asked for; None is the one found by arithmetic."""
        return cls(model, work, tokens or found_budget(model, work))

    def lower(self, failed: int) -> None:
        """Halves the budget until what failed is too large for it; the model's later runs begin there.

        Args:
            failed: tokens, two or more, of the batch that did not fit.
        """
        while self.tokens >= failed:
            self.tokens //= 2
        self.halvings += 1
        limit_budget(self._model, self.work, self.tokens)

    def notes(self) -> dict[str, str | int]:
        """What is kept with a result, since the shape of a batch can change the last bits of it."""
        return {"work": self.work, "tokens_per_batch": self.tokens, "halvings": self.halvings}


def limit_budget(model: nn.Module, work: Work, tokens: int) -> None:
    """Keeps for a model that no more tokens fit."""
    limits = _limits.setdefault(model, {})
    limits[work] = min(tokens, limits.get(work, tokens))


def budget_limits(model: nn.Module) -> dict[Work, int]:
    """{kind of work: most tokens of a batch}, of those that ran out of memory on this model."""
    return dict(_limits.get(model, {}))
