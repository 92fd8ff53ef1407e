"""Subspaces taken out of what chosen layers write to the residual stream."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel

from surgery.changes.alpha import require_alpha
from surgery.changes.factors import Factors
from surgery.edits.intervention_file import read_intervention, write_intervention
from surgery.edits.low_rank import LowRankChange
from surgery.edits.weight_change import NewWeight, WeightChange
from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_parts
from surgery.model.fingerprints import tensor_bytes
from surgery.model.offload import Weights
from surgery.rows.locator import WRITES_TO_STREAM, locate
from surgery.rows.rows import Rows

# How far the rows of a basis may be from orthonormal: float32 of a factorisation in float32.
TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class StreamAblation(WeightChange):
    """w ← w − α·s·Σ (w·q)·q over the rows q of a basis, for every vector w that a matrix writes to the stream.

    Attributes:
        bases: {(`o_proj` or `down_proj`, layer 1..L): orthonormal rows, float32 [k, d]}; other matrices stay.
        base_fingerprint: of the model the bases were found in.
        alpha: any finite number but 0.
        strengths: s of some of the bases; 1 for the others.
        keep_norms: give each vector w the norm that it had.
    """

    FORMAT: ClassVar[str] = "surgery.stream_ablation/1"

    bases: Mapping[tuple[str, int], torch.Tensor]
    base_fingerprint: str
    alpha: float = 1.0
    strengths: Mapping[tuple[str, int], float] | None = None
    keep_norms: bool = False

    def __post_init__(self) -> None:
        require_alpha(self.alpha)
        if not self.bases:
            raise InputError("there is no layer to ablate; give at least one basis")
        for (component, layer), basis in self.bases.items():
            if component not in WRITES_TO_STREAM:
                raise InputError(f"{component} does not write to the stream; ablate {' or '.join(WRITES_TO_STREAM)}")
            if basis.dim() != 2 or not torch.allclose(basis @ basis.T, torch.eye(len(basis)), atol=TOLERANCE):
                raise InputError(f"the basis for {component} of layer {layer} does not have orthonormal rows [k, d]")

    def __str__(self) -> str:
        layers = sorted({layer for _, layer in self.bases})
        components = " and ".join(sorted({component for component, _ in self.bases}, reverse=True))
        kept = ", which keep their norm" if self.keep_norms else ""
        return f"the vectors that {components} of layers {', '.join(map(str, layers))} write to the stream{kept}"

    @cached_property
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""
        parts: list[str | bytes] = [self.FORMAT, self.base_fingerprint, float(self.alpha).hex(), str(self.keep_norms)]
        for (component, layer), basis in sorted(self.bases.items(), key=lambda one: one[0]):
            parts += [component, str(layer), self._strength(component, layer).hex(), tensor_bytes(basis)]
        return sha256_of_parts(parts)

    def new_weights(self, model: PreTrainedModel) -> Iterator[NewWeight]:
        """The matrices of attention first, layer by layer; in float32, rounded once."""
        parameters = dict(model.named_parameters())
        for part, home, basis in self._found(model):
            values = parameters[home.parameter].data.clone()
            vectors = home.view(values)
            strength = self.alpha * self._strength(*part)
            exact, rows = vectors.float(), basis.to(vectors.device)
            new = exact - strength * (exact @ rows.T) @ rows
            if self.keep_norms:
                norms = new.norm(dim=-1, keepdim=True)
                new *= torch.where(norms == 0, 0.0, exact.norm(dim=-1, keepdim=True) / norms)
            vectors.copy_(new)
            yield NewWeight(home.parameter, home.layer, values)

    def low_rank(self, model: PreTrainedModel) -> LowRankChange | None:
        """The same change as a product of thin matrices, B = −s·qᵀ and A = q·W, which an adapter can carry.

        Args:
            model: as the change finds it: A is made of its weights.

        Returns:
            None where the change is no such product: vectors keep their norm, or experts lie in one tensor.
        """
        if self.keep_norms:
            return None
        weights, found = Weights(model), []
        for part, home, basis in self._found(model):
            if len(home.shape) != 2 or home.axis != 1:
                return None
            strength = self._strength(*part)
            a = basis @ weights[home.parameter].cpu().float()
            found.append(Factors(home.parameter, home.layer, a, (-strength * basis.T).contiguous()))
        return LowRankChange(tuple(found), self.base_fingerprint, self.alpha, "computed")

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all."""
        said = {
            "alpha": self.alpha,
            "base_fingerprint": self.base_fingerprint,
            "strengths": {f"{component}.{layer}": self._strength(component, layer) for component, layer in self.bases},
            "keep_norms": self.keep_norms,
        }
        # Each its own: layers that share a basis may share its memory, which safetensors refuses.
        tensors = {f"{component}.{layer}": basis.clone() for (component, layer), basis in self.bases.items()}
        write_intervention(path, self.FORMAT, tensors, said, self.fingerprint)

    @classmethod
    def load(cls, path: str | Path) -> "StreamAblation":
        """Reads what `save` wrote; raises InputError for anything else."""

        def made(tensors: dict[str, torch.Tensor], said: dict[str, Any]) -> StreamAblation:
            strengths = {_key(name): strength for name, strength in said.pop("strengths").items()}
            return cls({_key(name): basis for name, basis in tensors.items()}, strengths=strengths, **said)

        return read_intervention(path, cls.FORMAT, made)

    def _strength(self, component: str, layer: int) -> float:
        return float((self.strengths or {}).get((component, layer), 1.0))

    def _found(self, model: PreTrainedModel) -> Iterator[tuple[tuple[str, int], Rows, torch.Tensor]]:
        """Part, home and basis of the vectors; raises InputError for a layer without them, or of other width."""
        for component in reversed(WRITES_TO_STREAM):
            wanted = {layer for name, layer in self.bases if name == component}
            homes = [home for home in locate(model, component) if home.layer in wanted] if wanted else []
            if missing := sorted(wanted - {home.layer for home in homes}):
                raise InputError(
                    f"{type(model).__name__}: layer {missing[0]} has no {component}, so what it writes to the stream "
                    "can't be ablated; leave it out of method.layers"
                )
            for home in homes:
                basis = self.bases[component, home.layer]
                if basis.shape[1] != home.width:
                    raise InputError(f"the basis is {basis.shape[1]} wide, but this model is {home.width} wide")
                yield (component, home.layer), home, basis


def _key(name: str) -> tuple[str, int]:
    component, _, layer = name.partition(".")
    return component, int(layer)
