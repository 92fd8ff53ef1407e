"""Contrastive decoding: next tokens that a model trained on the behavior would take are made less likely."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import Cache, PreTrainedModel

from surgery.changes.alpha import require_alpha
from surgery.changes.receipt import Receipt
from surgery.edits.intervention_file import read_intervention, write_intervention
from surgery.edits.low_rank import LowRankChange
from surgery.edits.weight_change import parameter_of
from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_parts
from surgery.model.fingerprints import pop_edit, push_edit, require_base
from surgery.model.shared_copy import shared_copy
from surgery.rows.locator import decoder


@dataclass(frozen=True, eq=False)
class ContrastiveDecoding:
    """Logits z + α·(z − z⁻), with z⁻ of the anti-expert: DExperts (Liu et al. 2021, Equation 1) with no expert but z.

    The head is linear and the anti-expert has the model's own, so that the difference is taken of the states that the
    head is given, h + α·(h − h⁻). Logits that are capped after the head, as Gemma 2's, are capped after the contrast.

    Attributes:
        anti_expert: what makes an anti-expert of the model: a LoRA trained on the behavior's texts.
        alpha: any finite number but 0; a negative one moves toward the anti-expert, and −1 is the anti-expert itself.
    """

    FORMAT: ClassVar[str] = "surgery.contrastive_decoding/1"

    anti_expert: LowRankChange
    alpha: float

    def __post_init__(self) -> None:
        require_alpha(self.alpha)

    def __str__(self) -> str:
        return f"the next token's distribution, against an anti-expert ({self.anti_expert})"

    @property
    def base_fingerprint(self) -> str:
        """Of the model it was made for."""
        return self.anti_expert.base_fingerprint

    @cached_property
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""
        return sha256_of_parts([self.FORMAT, self.anti_expert.fingerprint, float(self.alpha).hex()])

    @contextmanager
    def applied_to(self, model: PreTrainedModel) -> Iterator[Receipt]:
        """Has the model decode in contrast for the body of a `with`; afterwards nothing of it is left.

        Each pass is made twice, and two caches are kept, but no weight. The sum is taken in float32 and rounded once.

        Raises:
            InputError: when the model is not the one it was made for, or its decoder is no longer run by its own class:
                where weights are offloaded, or where contrastive decoding is applied already.
        """
        base, body = require_base(model, self.base_fingerprint), decoder(model)
        if "forward" in vars(body):
            raise InputError(
                f"{type(model).__name__} has weights that are offloaded, or is decoded in contrast already, so it "
                "can't be run beside its anti-expert; load it on a device"
            )
        other = shared_copy(model)
        self._make_anti_expert(other)
        push_edit(model, self.fingerprint, base)
        body.forward = self._contrasted(body.forward, decoder(other))
        try:
            yield Receipt({}, 0, 0.0, 0.0)
        finally:
            del body.forward
            pop_edit(model, self.fingerprint)

    def _make_anti_expert(self, model: PreTrainedModel) -> None:
        """Lets linear layers add what the LoRA found; the weights, which are another's too, stay."""
        parameters = dict(model.named_parameters())
        for one in self.anti_expert.factors():
            device = parameter_of(parameters, one.parameter, one.shape).device
            model.get_submodule(one.module).register_forward_hook(_adding(one.a.to(device), one.b.to(device)))

    def _contrasted(self, forward: Callable[..., Any], anti_expert: nn.Module) -> Callable[..., Any]:
        """The decoder's forward pass, with the anti-expert's beside it."""
        caches: WeakKeyDictionary[Cache, Cache] = WeakKeyDictionary()

        @wraps(forward)
        def both(*args: Any, **kwargs: Any) -> Any:
            cache = kwargs.get("past_key_values")
            theirs = kwargs if cache is None else kwargs | {"past_key_values": _beside(cache, caches)}
            output, other = forward(*args, **kwargs), anti_expert(*args, **theirs)
            if cache is None and output.get("past_key_values") is not None:
                caches[output.past_key_values] = other.past_key_values
            states = output.last_hidden_state.float()
            moved = states + self.alpha * (states - other.last_hidden_state.float())
            output.last_hidden_state = moved.to(output.last_hidden_state.dtype)
            return output

        return both

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all; as large as the LoRA's."""
        tensors, said = self.anti_expert.packed()
        write_intervention(path, self.FORMAT, tensors, {"alpha": self.alpha, "anti_expert": said}, self.fingerprint)

    @classmethod
    def load(cls, path: str | Path) -> "ContrastiveDecoding":
        """Reads what `save` wrote; raises InputError for anything else."""
        return read_intervention(
            path,
            cls.FORMAT,
            lambda tensors, said: cls(LowRankChange.unpacked(tensors, said["anti_expert"]), said["alpha"]),
        )


def _adding(a: torch.Tensor, b: torch.Tensor) -> Callable[..., torch.Tensor]:
    """A hook that adds x·Aᵀ·Bᵀ to what a layer makes of x."""

    def hook(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        return output + (args[0].float() @ a.T @ b.T).to(output.dtype)

    return hook


def _beside(cache: Cache, caches: WeakKeyDictionary[Cache, Cache]) -> Cache:
    """The anti-expert's cache of the same tokens."""
    if cache not in caches and cache.get_seq_length() == 0:
        caches[cache] = deepcopy(cache)
    if cache not in caches or caches[cache].get_seq_length() != cache.get_seq_length():
        raise InputError(
            "contrastive decoding was handed a cache of tokens that its anti-expert has not read; generate from the "
            "beginning, without another model's cache"
        )
    return caches[cache]
