"""The behavior probe: a linear classifier of pooled hidden states, and its file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from surgery.errors import InputError
from surgery.files.tensor_file import read_tensors, save_tensors
from surgery.files.whole_files import sha256_of_parts, written_whole
from surgery.model.fingerprints import fingerprint, tensor_bytes
from surgery.states.pooled_tokens import POOLING, Pooling, require_pooling

FORMAT = "surgery.probe/1"


@dataclass(frozen=True, eq=False)
class Probe:
    """P(y|x̄) = softmax(W x̄ + b), Equation 1: class 1 is the behavior to move away from, class 0 the rest.

    Attributes:
        weight: W, float32 [2, d]; used raw, not normalised, as in the paper.
        bias: b, float32 [2].
        classes: the names of the two classes.
        layer: the layer whose states it reads, 1..L; None when its file does not say.
        pooling: over which tokens the states that it reads are averaged.
        model_fingerprint, data_fingerprint: of the model and the texts it was trained on; None where unknown.
        method: how it was fitted.
        metrics: accuracy and loss on its training and test texts.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    classes: tuple[str, str] = ("other", "avoided")
    layer: int | None = None
    pooling: Pooling = POOLING
    model_fingerprint: str | None = None
    data_fingerprint: str | None = None
    method: str = "adam"
    metrics: Mapping[str, float | int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.weight.dim() != 2 or self.weight.shape[0] != 2 or tuple(self.bias.shape) != (2,):
            shapes = f"{list(self.weight.shape)} and {list(self.bias.shape)}"
            raise InputError(f"a probe has a weight [2, d] and a bias [2]; these have the shapes {shapes}")
        if not (self.weight.isfinite().all() and self.bias.isfinite().all()):
            raise InputError("the probe holds NaN or infinite numbers")
        require_pooling(self.pooling, "the probe's pooling")

    @property
    def fingerprint(self) -> str:
        """Of the numbers and the layer: two probes that act alike are the same, whatever their files."""
        return sha256_of_parts([str(self.layer), self.pooling, tensor_bytes(self.weight), tensor_bytes(self.bias)])

    def direction(self, avoid: int = 1) -> torch.Tensor:
        """The vector [d] of a class, a copy: W_n for `avoid=1`; the inverse direction for `avoid=0`."""
        return self.weight[avoid].clone()

    def losses(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of each text, in nats: features [n, d], labels [n] of 0 and 1 → [n]."""
        logits = features.float() @ self.weight.T + self.bias
        return torch.nn.functional.cross_entropy(logits, labels.long(), reduction="none")

    def accuracy(self, features: torch.Tensor, labels: torch.Tensor) -> float:
        """Share of the texts whose likelier class is their label."""
        predicted = (features.float() @ self.weight.T + self.bias).argmax(1)
        return float((predicted == labels).float().mean())

    def require_fit(self, width: int, model_fingerprint: str, what: str = "the probe") -> None:
        """Raises InputError when the probe was made for states of another width, or for another model."""
        if self.weight.shape[1] != width:
            raise InputError(f"{what} is {self.weight.shape[1]} wide, but this model's states are {width} wide")
        if self.model_fingerprint not in (None, model_fingerprint):
            raise InputError(
                f"{what} was made for model {self.model_fingerprint}, but this model is {model_fingerprint}"
            )

    def require_model(self, model: PreTrainedModel, what: str = "the probe") -> None:
        """Raises InputError when the probe was not made for this model."""
        self.require_fit(model.config.get_text_config().hidden_size, fingerprint(model), what)

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all."""
        description = {
            "classes": self.classes,
            "layer": self.layer,
            "pooling": self.pooling,
            "model_fingerprint": self.model_fingerprint,
            "data_fingerprint": self.data_fingerprint,
            "method": self.method,
            "metrics": dict(self.metrics),
        }
        metadata = {"format": FORMAT, "probe": json.dumps(description)}
        with written_whole(path) as temporary:
            save_tensors({"weight": self.weight.contiguous(), "bias": self.bias.contiguous()}, temporary, metadata)

    @classmethod
    def load(cls, path: str | Path) -> "Probe":
        """Reads a probe from safetensors, or from the reference's `.pt` release (tensors only, no code runs).

        Raises:
            InputError: when the file is missing, can't be read, or is no probe.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"probe.path '{path}' is not there; give a .safetensors or .pt file")
        if path.suffix in (".pt", ".pth", ".bin"):
            return cls._load_release(path)
        tensors, metadata = read_tensors(path, f"probe.path '{path}'")
        if metadata.get("format") != FORMAT:
            raise InputError(f"probe.path '{path}' is no probe; it holds {', '.join(tensors) or 'nothing'}")
        try:
            description = json.loads(metadata["probe"])
            description["classes"] = tuple(description["classes"])
            return cls(tensors["weight"].float(), tensors["bias"].float(), **description)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise InputError(f"probe.path '{path}' is a damaged probe ({error}); save it again") from None

    @classmethod
    def _load_release(cls, path: Path) -> "Probe":
        try:
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises what its unpickler meets: there is no narrower class
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(f"probe.path '{path}' can't be read as a file of tensors: {reason}") from None
        names = ("mlp.weight", "mlp.bias")
        if not isinstance(state, dict) or not all(isinstance(state.get(name), torch.Tensor) for name in names):
            raise InputError(f"probe.path '{path}' is no released probe: it needs mlp.weight and mlp.bias")
        return cls(state["mlp.weight"].float(), state["mlp.bias"].float(), method="file")
