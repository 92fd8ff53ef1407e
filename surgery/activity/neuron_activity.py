"""How many of a region's neurons are active at each token (the paper's Figure 2b)."""

from collections.abc import Callable, Mapping, Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from surgery.activity.module_outputs import read_outputs, require_module_output
from surgery.errors import InputError
from surgery.region.region import Region
from surgery.rows.rows import Rows
from surgery.states.batch_budget import BatchBudget
from surgery.states.text_batches import encode_texts, reading_of_texts, run_on_texts
from surgery.tokens.encoding import padding_id


def require_gates(region: Region) -> None:
    """Raises InputError when a region's neurons have no gate whose output can be read; needs no model."""
    if region.component != "gate_proj":
        raise InputError(
            f"the region holds rows of {region.component}, but a neuron is active when its gate is; "
            "take a region of gate_proj"
        )
    for home, _ in region.parts():
        require_module_output(home)


def active_neurons(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    region: Region,
    *,
    max_length: int | None = None,
    add_special_tokens: bool = True,
    tokens_per_batch: int | None = None,
    progress: bool = False,
) -> list[torch.Tensor]:
    """How many of the region's neurons are active at each token of each text.

    A neuron is active where the output of its gate row, before the activation function, is above 0. The model is read
    as it is: inside `with edit.applied_to(model)` the counts are the edited model's.

    Args:
        texts: n texts; each needs at least one token.
        region: rows of gate_proj.
        max_length: longest text in tokens, what comes after is left out; None: what the model takes.
        add_special_tokens: False where the texts hold theirs already, as a chat template writes them.
        tokens_per_batch: budget of a batch, padding counted; None is found from the model and its device.
        progress: show a bar with the time that is left.

    Returns:
        For each text int64 [its tokens] on the CPU, of 0 to the number of the region's rows.

    Raises:
        InputError: for no texts, a text without tokens, a region of another component or that does not fit the model,
            or gates that no module puts out (experts in one tensor).
    """
    require_gates(region)
    if not texts:
        raise InputError("there are no texts to count active neurons on")
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    for home, _ in region.parts():
        if shapes.get(home.parameter) != home.shape:
            raise InputError(f"the model has no {home.parameter} of shape {list(home.shape)}; the region is another's")
    reading = reading_of_texts(model, max_length, special_tokens=add_special_tokens)
    encoded = encode_texts(model, tokenizer, texts, reading).ids
    counts: list[torch.Tensor] = [torch.empty(0, dtype=torch.int64)] * len(texts)
    for indices, found in run_on_texts(
        model,
        encoded,
        padding_id(model, tokenizer),
        lambda inputs: _active(model, inputs, region),
        BatchBudget.of(model, "hidden_states", tokens_per_batch),
        description="active neurons",
        progress=progress,
    ):
        for row, index in enumerate(indices):
            # Padding is on the right.
            counts[index] = found[row, : len(encoded[index])].clone()
    return counts


def _active(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor], region: Region) -> torch.Tensor:
    """Counts [b, t], on the CPU."""
    counts = torch.zeros_like(inputs["input_ids"])

    def adding(home: Rows, rows: torch.Tensor) -> Callable[[torch.Tensor], None]:
        def read(output: torch.Tensor) -> None:
            gates = output[..., home.start + home.step * rows.to(output.device)]
            counts.add_((gates > 0).sum(-1).to(counts.device))

        return read

    read_outputs(model, inputs, {home: adding(home, rows) for home, rows in region.parts()})
    return counts.cpu()
