"""Where a component's rows live in a model: the one module, with `layouts`, that knows architectures.

A *candidate row* is a vector of length d, the width of the residual stream: a row of a matrix that reads
the stream (gate_proj, up_proj, q_proj, k_proj, v_proj), a column of one that writes to it (down_proj, o_proj).
"""

from collections.abc import Collection, Iterator, Mapping

import torch
from torch import nn
from transformers import PreTrainedModel

from surgery.errors import InputError
from surgery.rows.attention import attention_slice
from surgery.rows.layouts import Layout, Order, gated_units, unknown_units, weight_of
from surgery.rows.rows import Homes, Rows

COMPONENTS = ("gate_proj", "up_proj", "down_proj", "q_proj", "k_proj", "v_proj", "o_proj")
MLP_COMPONENTS = COMPONENTS[:3]
# Of these the candidates are columns; the others read the stream with their rows.
WRITES_TO_STREAM = ("down_proj", "o_proj")
# Smaller floats come with scales that an edit of the rows alone would not respect.
EDITABLE = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def decoder(model: PreTrainedModel) -> nn.Module:
    """The module that runs the decoder's blocks and the norm after them; the language model of a larger one.

    Raises:
        InputError: when no list of modules has as many entries as the config has layers.
    """
    # A few classes of transformers name another module as their decoder than the one with the blocks.
    for owner in (model.get_decoder(), model.base_model, getattr(model, "model", None)):
        if isinstance(owner, nn.Module) and _blocks(model, owner) is not None:
            return owner
    depth = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    lists = {name: len(module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    held = ", ".join(f"{name} ({length})" for name, length in lists.items() if not _inside(name, lists))
    raise InputError(
        f"{type(model).__name__}: its {depth} decoder blocks were not found as one list of the decoder; the lists of "
        f"modules in the model are {held or 'none'}"
    )


def _inside(name: str, others: Collection[str]) -> bool:
    return any(name.startswith(f"{other}.") for other in others)


def decoder_blocks(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder's blocks in order, one a layer; raises InputError, see `decoder`."""
    blocks = _blocks(model, decoder(model))
    assert blocks is not None, "a decoder has blocks"
    return blocks


def _blocks(model: PreTrainedModel, owner: nn.Module) -> nn.ModuleList | None:
    depth = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    lists = (module for module in owner.children() if isinstance(module, nn.ModuleList) and len(module) == depth)
    return next(lists, None)


def layer_count(model: PreTrainedModel) -> int:
    """L, the number of decoder blocks."""
    return len(decoder_blocks(model))


def locate(model: PreTrainedModel, component: str = "gate_proj") -> tuple[Rows, ...]:
    """Finds the candidate rows of a component, layer 1 first.

    A layer with several gated MLPs or tensors of experts has one entry for each, in the order of the model's modules.
    Layers of another kind than attention (linear attention, a state space) have no q_proj and the like, and no entry.
    Works on a skeleton (device `meta`) as on a loaded model.

    Raises:
        InputError: for an unknown component; for a model with a layer whose MLP is not gated, or is kept in a way that
            `layouts` does not know, with what was found; for quantised weights, for matrices that layers share, for
            layers that only an image puts to use.
    """
    if component not in COMPONENTS:
        raise InputError(f"region.component={component} is unknown; it is one of {', '.join(COMPONENTS)}")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    if over := getattr(model.config.get_text_config(), "cross_attention_layers", None):
        layers = ", ".join(str(index + 1) for index in over)
        raise InputError(
            f"{type(model).__name__} has layers that attend to an image ({layers}) and are passed over in a text "
            "without one, so an edit of their rows would do nothing there; this version edits no such model"
        )
    width = getattr(model.config.get_text_config(), "hidden_size", None)
    if not isinstance(width, int):
        raise InputError(f"{type(model).__name__}: its config tells no hidden_size, so its rows can't be told")
    found: list[Rows] = []
    for layer, block in enumerate(decoder_blocks(model), start=1):
        in_block = (
            _of_mlps(model, layer, block, component, width, names)
            if component in MLP_COMPONENTS
            else _of_attention(model, layer, block, component, width, names)
        )
        found += in_block
    parameters = [home.parameter for home in found]
    if shared := sorted({name for name in parameters if parameters.count(name) > 1}):
        raise InputError(f"{type(model).__name__}: several layers share {shared[0]}, so its rows are of no one layer")
    if not found:
        raise _not_there(model, 1, decoder_blocks(model)[0], component)
    return tuple(found)


def by_layer(found: tuple[Rows, ...]) -> dict[int, Homes]:
    """What `locate` found, gathered by layer."""
    return {
        layer: tuple(home for home in found if home.layer == layer)
        for layer in dict.fromkeys(home.layer for home in found)
    }


def _of_mlps(
    model: PreTrainedModel, layer: int, block: nn.Module, component: str, width: int, names: Mapping[int, str]
) -> Iterator[Rows]:
    units = list(gated_units(block))
    if not units:
        raise _not_there(model, layer, block, component)
    for name, module, shapes in unknown_units(block, width):
        matrices = ", ".join(f"{child} {list(shape)}" for child, shape in shapes.items())
        raise InputError(
            f"{type(model).__name__}: layer {layer} has a gated MLP and, in {name or 'the block'} "
            f"({type(module).__name__}: {matrices}), something like one that this version does not know, so its rows "
            "can't all be found"
        )
    for name, module, layout in units:
        weights = {part: _require(weight_of(module, getattr(layout, part))) for part in ("gate", "up", "down")}
        for weight in weights.values():
            _require_editable(model, component, layer, weight)
        inner = _inner_size(layout, weights, width)
        if inner is None:
            shapes = {part: tuple(weight.shape) for part, weight in weights.items()}
            matrices = ", ".join(f"{getattr(layout, part)} {list(shape)}" for part, shape in shapes.items())
            raise InputError(
                f"{type(model).__name__}: {name} of layer {layer} ({type(module).__name__}) is known as "
                f"'{layout.order.value}', but {matrices} don't fit a stream of width {width}"
            )
        part = component.removesuffix("_proj")
        weight = weights[part]
        # Rows of what reads the stream, columns of what writes to it; the other way round in transposed tensors.
        axis = weight.dim() - 2 + ((part == "down") != layout.transposed)
        start, step = 0, 1
        if part != "down" and layout.order is not Order.APART:
            step = 2 if layout.order is Order.INTERLEAVED else 1
            start = 0 if part == "gate" else 1 if step == 2 else inner
        yield Rows(layer, names[id(weight)], tuple(weight.shape), axis, start, inner, step)


def _inner_size(layout: Layout, weights: Mapping[str, torch.Tensor], width: int) -> int | None:
    """d_ff, if the shapes are what the layout says; else None."""

    def of(part: str) -> tuple[int, ...]:
        shape = tuple(weights[part].shape)
        return (*shape[:-2], shape[-1], shape[-2]) if layout.transposed else shape

    *experts, out, inner = of("down")
    rows = inner if layout.order is Order.APART else 2 * inner
    fit = out == width and of("gate") == of("up") == (*experts, rows, width)
    return inner if fit else None


def _of_attention(
    model: PreTrainedModel, layer: int, block: nn.Module, component: str, width: int, names: Mapping[int, str]
) -> Iterator[Rows]:
    slices = [found for module in block.modules() if (found := attention_slice(module, component)) is not None]
    if len(slices) > 1:
        raise _not_there(model, layer, block, component, f"{len(slices)} matrices for one")
    for weight, start, count in slices:
        _require_editable(model, component, layer, weight)
        axis = int(component in WRITES_TO_STREAM)
        if weight.shape[1 - axis] != width or start + count > weight.shape[axis]:
            raise InputError(
                f"{type(model).__name__}: {component} of layer {layer} has shape {list(weight.shape)}, which does not "
                f"fit a stream of width {width}"
            )
        yield Rows(layer, names[id(weight)], tuple(weight.shape), axis, start, count)


def _require(weight: torch.Tensor | None) -> torch.Tensor:
    assert weight is not None, "layouts fit modules that have their matrices"
    return weight


def _require_editable(model: PreTrainedModel, component: str, layer: int, weight: torch.Tensor) -> None:
    if weight.dtype not in EDITABLE:
        raise InputError(
            f"{type(model).__name__}: {component} of layer {layer} is quantised ({weight.dtype}) and can't be edited "
            "in place; load the model with model.dtype=bfloat16, or use an edit of that as an adapter"
        )


def _not_there(model: PreTrainedModel, layer: int, block: nn.Module, component: str, number: str = "no") -> InputError:
    """What to say of a layer without the component: what it holds instead, or that it is quantised."""
    quantised = getattr(model.config, "quantization_config", None)
    if quantised is not None and model.device.type != "meta":
        method = quantised.get("quant_method") if isinstance(quantised, dict) else quantised.quant_method
        return InputError(
            f"{type(model).__name__} is quantised ({getattr(method, 'value', method)}), so its {component} rows can't "
            "be edited in place; load an unquantised model with model.dtype=bfloat16, or use an edit of that as an "
            "adapter"
        )
    matrices = [name.removesuffix(".weight") for name, found in block.named_parameters() if found.dim() in (2, 3)]
    kind = "gated MLP that this version knows" if component in MLP_COMPONENTS else component
    return InputError(
        f"{type(model).__name__} has {number} {kind}: layer {layer} holds {', '.join(matrices) or 'no matrices'}; "
        f"surgery on {component} needs one in every layer"
    )
