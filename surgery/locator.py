"""Where a component's rows live: the one module that knows how architectures are laid out.

A *candidate row* is a vector of length d, the width of the residual stream: a row of a matrix that reads
the stream (gate_proj, up_proj, q_proj, k_proj, v_proj), a column of one that writes to it (down_proj, o_proj).
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from surgery.errors import InputError

COMPONENTS = ("gate_proj", "up_proj", "down_proj", "q_proj", "k_proj", "v_proj", "o_proj")
WRITES_TO_STREAM = ("down_proj", "o_proj")
# Smaller floats come with scales that an edit of the rows alone would not respect.
EDITABLE = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


@dataclass(frozen=True)
class Rows:
    """The candidate rows of one layer: where they lie in which parameter.

    Attributes:
        layer: 1..L.
        parameter: its name in `model.named_parameters()`, and in a checkpoint.
        shape: the parameter's whole shape.
        axis: 0 when a candidate is a row of the parameter, 1 when it is a column.
        start, count: the slice of the axis that holds the candidates.
    """

    layer: int
    parameter: str
    shape: tuple[int, int]
    axis: int
    start: int
    count: int

    def view(self, weight: torch.Tensor) -> torch.Tensor:
        """The candidates as a view [count, d] of the parameter's tensor: writing to it writes to the weight."""
        return weight.narrow(self.axis, self.start, self.count).transpose(0, self.axis)


def decoder_blocks(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder's blocks in order, one a layer.

    Raises:
        InputError: when no list of modules has as many entries as the config has layers.
    """
    depth = model.config.get_text_config().num_hidden_layers
    for _, module in model.get_decoder().named_children():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise InputError(f"{type(model).__name__}: its {depth} decoder blocks were not found")


def layer_count(model: PreTrainedModel) -> int:
    """L, the number of decoder blocks."""
    return len(decoder_blocks(model))


def _matrices(block: nn.Module) -> dict[str, nn.Module]:
    return {
        name: module
        for name, module in block.named_modules()
        if isinstance(getattr(module, "weight", None), torch.Tensor) and module.weight.dim() == 2
    }


def locate(model: PreTrainedModel, component: str = "gate_proj") -> tuple[Rows, ...]:
    """Finds the candidate rows of a component, one entry a layer, layer 1 first.

    Works on a skeleton (device `meta`) as on a loaded model.

    Raises:
        InputError: for an unknown component; for a model whose blocks don't each hold exactly one floating
            point matrix of that name, with what they hold instead.
    """
    if component not in COMPONENTS:
        raise InputError(f"region.component={component} is unknown; it is one of {', '.join(COMPONENTS)}")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    architecture = type(model).__name__
    found = []
    for layer, block in enumerate(decoder_blocks(model), start=1):
        matrices = _matrices(block)
        matches = [module for name, module in matrices.items() if name.split(".")[-1] == component]
        if len(matches) != 1:
            kind = "gated MLP that this version knows" if component == "gate_proj" else component
            holds = ", ".join(matrices) or "no matrices"
            number = "no" if not matches else f"{len(matches)} matrices for one"
            raise InputError(
                f"{architecture} has {number} {kind}: layer {layer} holds {holds}; "
                f"surgery on {component} needs one matrix of that name in every layer"
            )
        weight = matches[0].weight
        if not isinstance(weight, torch.Tensor) or weight.dtype not in EDITABLE:
            raise InputError(
                f"{architecture}: {component} of layer {layer} is quantised ({getattr(weight, 'dtype', '?')}) "
                "and can't be edited in place; load the model with model.dtype=bfloat16"
            )
        axis = 1 if component in WRITES_TO_STREAM else 0
        shape = (weight.shape[0], weight.shape[1])
        found.append(Rows(layer, names[id(weight)], shape, axis, start=0, count=shape[axis]))
    return tuple(found)
