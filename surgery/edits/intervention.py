"""What can be done to a model and taken back exactly: an edit, and the methods it is compared with."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from transformers import PreTrainedModel

from surgery.changes.receipt import Receipt
from surgery.edits.ablation import Ablation
from surgery.edits.biased_gates import GateBias
from surgery.edits.contrast import ContrastiveDecoding
from surgery.edits.edit import FORMAT as EDIT_FORMAT
from surgery.edits.edit import Edit
from surgery.edits.low_rank import LowRankChange
from surgery.edits.new_weights import NewWeights
from surgery.edits.pruning import Pruning
from surgery.edits.row_scaling import RowScaling
from surgery.edits.steering import LayeredSteering, Steering
from surgery.edits.stream_ablation import StreamAblation
from surgery.edits.system_turn import SystemPrompt
from surgery.files.tensor_file import opened_tensors


class Intervention(Protocol):
    """An `Edit`; a `WeightChange`: ablations, `NewWeights`, a `LowRankChange`, `RowScaling`, `Pruning`; or what is done
    while the model runs: `BlockSteering`, `GateBias`, `ContrastiveDecoding`; or to what it is shown: `SystemPrompt`."""

    @property
    def base_fingerprint(self) -> str:
        """Of the model it was made for."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""
        ...

    def applied_to(self, model: PreTrainedModel) -> AbstractContextManager[Receipt]:
        """Changes the model for the body of a `with`, and puts back exactly what was there."""
        ...

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all."""
        ...


def described(intervention: Intervention) -> str:
    """What is changed, in words: how the region was chosen, for an edit."""
    return intervention.region.how if isinstance(intervention, Edit) else str(intervention)


def shown_alike(chain: Iterable[Intervention]) -> bool:
    """Whether the model is shown the same prompts with a chain of interventions as without."""
    return not any(isinstance(one, SystemPrompt) for one in chain)


def load_intervention(path: str | Path) -> Intervention:
    """Reads whichever intervention a file holds.

    Raises:
        InputError: when the file is missing, can't be read, holds none, or was changed after it was saved.
    """
    with opened_tensors(path, f"edit '{path}'") as file:
        found = (file.metadata() or {}).get("format", "")
    loaders: dict[str, Callable[[str | Path], Intervention]] = {
        EDIT_FORMAT: Edit.load,
        Steering.FORMAT: Steering.load,
        SystemPrompt.FORMAT: SystemPrompt.load,
        Ablation.FORMAT: Ablation.load,
        NewWeights.FORMAT: NewWeights.load,
        LowRankChange.FORMAT: LowRankChange.load,
        LayeredSteering.FORMAT: LayeredSteering.load,
        StreamAblation.FORMAT: StreamAblation.load,
        RowScaling.FORMAT: RowScaling.load,
        GateBias.FORMAT: GateBias.load,
        Pruning.FORMAT: Pruning.load,
        ContrastiveDecoding.FORMAT: ContrastiveDecoding.load,
    }
    return loaders.get(found, Edit.load)(path)
