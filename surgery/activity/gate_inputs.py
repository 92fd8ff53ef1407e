"""What the gates of a model read on average: the hidden state that an edit of their rows meets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from surgery.activity.text_means import mean_over_texts
from surgery.errors import InputError
from surgery.files.tensor_file import read_tensors, save_tensors
from surgery.files.whole_files import written_whole
from surgery.rows.locator import locate
from surgery.states.text_batches import reading_of_texts


@dataclass(frozen=True, eq=False)
class GateInputs:
    """The mean input of each gate projection over texts.

    Attributes:
        means: {parameter of the gate: float32 [d]}: the mean over the tokens of each text, then over texts.
    """

    means: Mapping[str, torch.Tensor]

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all."""
        with written_whole(path) as temporary:
            save_tensors(dict(self.means), temporary)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads what `save` wrote; raises InputError for a file that is missing or can't be read."""
        return cls(read_tensors(path, f"'{path}'")[0])


def mean_gate_inputs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_length: int = 100,
    chat: bool = False,
    progress: bool = False,
) -> GateInputs:
    """What each gate_proj reads on average, after the norm before the MLP.

    Args:
        texts: n texts; each needs at least one token.
        max_length: longest text in tokens, which loses its end beyond that.
        chat: put each text into the tokenizer's chat template.
        progress: show a bar with the time that is left.

    Raises:
        InputError: for no texts or one without tokens; for gates that no module reads (experts in one tensor), or not
            at every token (routed experts).
    """
    if not texts:
        raise InputError("there are no texts to take the gates' inputs of")
    reading = reading_of_texts(model, max_length, chat)
    found = mean_over_texts(
        model, tokenizer, texts, locate(model, "gate_proj"), reading, inputs=True, progress=progress
    )
    return GateInputs({home.parameter: mean for home, mean in found.items()})
