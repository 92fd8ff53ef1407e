"""How gated MLPs keep their matrices, as data; a new family that differs from all of these is one more line.

A gated MLP computes down(act(gate · x) * (up · x)): `gate` is what goes through the activation. In most models the
names tell it. Where gate and up share a tensor, names can't tell which part is which, so those are matched by the
module's class, or by what transformers declares on the class of a mixture's experts. Shapes are verified in any case.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Order(Enum):
    """Where the gate is with regard to up; the values stand in the table of families."""

    APART = "own module"
    HALVES = "fused, first half"
    INTERLEAVED = "fused, every second"


@dataclass(frozen=True)
class Layout:
    """One way to keep the matrices of a gated MLP, or of a mixture's experts.

    Attributes:
        gate, up, down: names of the module's children, or of its own parameters. `up` is `gate` where they are fused.
        order: where the gate is with regard to up.
        transposed: tensors are [in, out], as in `x @ weight`, where a linear layer's are [out, in].
        classes: the modules it is true of; empty where the names say enough.
    """

    gate: str
    up: str
    down: str
    order: Order = Order.APART
    transposed: bool = False
    classes: frozenset[str] = field(default_factory=frozenset)

    def fits(self, module: nn.Module) -> bool:
        """Whether a module has matrices of these names and, where that matters, the class."""
        return (not self.classes or type(module).__name__ in self.classes) and all(
            weight_of(module, name) is not None for name in (self.gate, self.up, self.down)
        )


def _fused(names: tuple[str, str], *classes: str, transposed: bool = False) -> Layout:
    return Layout(names[0], names[0], names[1], Order.HALVES, transposed, frozenset(classes))


LAYOUTS = (
    Layout("gate_proj", "up_proj", "down_proj"),
    Layout("w1", "w3", "w2", classes=frozenset({"Lfm2MLP", "Lfm2MoeMLP", "Lfm3MLP"})),
    Layout("proj_up_gate", "proj_up", "proj_down", classes=frozenset({"xLSTMFeedForward"})),
    _fused(
        ("gate_up_proj", "down_proj"),
        *("Phi3MLP", "Phi4MultimodalMLP", "GlmMLP", "Glm4MLP", "DiaMLP", "MiniMaxM3VLDenseMLP"),
    ),
    _fused(("gate_up_proj", "down_proj"), "Llama4TextExperts", transposed=True),
    _fused(("input_linear", "output_linear"), "GraniteMoeHybridMLP", "GraniteMoeSharedMLP", "JetMoeMoE"),
    _fused(("Wi", "Wo"), "ModernBertDecoderMLP"),
    _fused(("fc1", "fc2"), "MoshiGatingMLP"),
)

# A child of this name makes a module one that mixes tokens (attention, a state space): what is in it is no MLP.
MIXER_CHILDREN = frozenset(
    {
        *("q_proj", "k_proj", "v_proj", "qkv_proj", "kv_proj", "kv_a_proj_with_mqa", "query_key_value", "Wqkv"),
        *("in_proj", "in_proj_qkv", "in_proj_qkvz", "conv1d", "ogate_preact", "rg_lru", "wq_b"),
    }
)
# Router networks and hyper-connections: shaped like an MLP, but nothing in them is a gate.
OTHER_CLASSES = frozenset({"ZayaRouter", "ZayaRouterMLP", "AXK2GateMLP", "Gemma3nTextLaurelBlock"})
# Children of a block that mix an embedding of the token into each layer: a gate, but not of the MLP's neurons.
OTHER_CHILDREN = frozenset({"per_layer_input_gate", "per_layer_projection"})


def weight_of(module: nn.Module, name: str) -> torch.Tensor | None:
    """The matrix, or tensor of matrices, that a child or an own parameter of this name holds."""
    child = getattr(module, name, None)
    weight = child if isinstance(child, nn.Parameter) else getattr(child, "weight", None)
    return weight if isinstance(weight, nn.Parameter) and weight.dim() in (2, 3) else None


def _layout_of(module: nn.Module) -> Layout | None:
    """The layout of a gated MLP or of a mixture's experts; None for what is neither."""
    # Experts say themselves how they lie; `has_gate` is there since transformers 5.
    if getattr(module, "has_gate", False) and weight_of(module, "gate_up_proj") is not None:
        order = Order.HALVES if module.is_concatenated else Order.INTERLEAVED
        return Layout("gate_up_proj", "gate_up_proj", "down_proj", order, bool(module.is_transposed))
    return next((layout for layout in LAYOUTS if layout.fits(module)), None)


def gated_units(block: nn.Module) -> Iterator[tuple[str, nn.Module, Layout]]:
    """The gated MLPs and experts of a decoder block, in the order of its modules: (name, module, layout)."""
    for name, module in _outside_mixers(block):
        if layout := _layout_of(module):
            yield name, module, layout


def unknown_units(block: nn.Module, width: int) -> Iterator[tuple[str, nn.Module, dict[str, tuple[int, ...]]]]:
    """Modules of a block that no layout describes though they are shaped like an MLP: (name, module, its matrices).

    Shaped like one: a matrix that reads vectors of the stream's width and one that writes them; or a tensor [experts,
    ., .] of either.
    """
    for name, module in _outside_mixers(block):
        if _layout_of(module) is not None or isinstance(module, (nn.Linear, nn.Embedding, *CONVOLUTIONS)):
            continue
        direct = [child for child, _ in module.named_parameters(recurse=False)]
        names = [*direct, *(child for child, found in module.named_children() if not isinstance(found, CONVOLUTIONS))]
        weights = {
            child: tuple(weight.shape)
            for child in names
            if child not in OTHER_CHILDREN and (weight := weight_of(module, child)) is not None
        }
        shapes = list(weights.values())
        reads = any(shape[-1] == width for shape in shapes if len(shape) == 2)
        writes = any(shape[-2] == width for shape in shapes if len(shape) == 2)
        experts = any(width in shape[-2:] for shape in shapes if len(shape) == 3)
        if (reads and writes) or experts:
            yield name, module, weights


def _outside_mixers(block: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The block and the modules in it by name, depth first, without what lies in a mixer or a router."""

    def walk(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        children = dict(module.named_children())
        if name and (children.keys() & MIXER_CHILDREN or type(module).__name__ in OTHER_CLASSES):
            return
        yield name, module
        layout = _layout_of(module)
        for child, found in children.items():
            if layout and child in (layout.gate, layout.up, layout.down):
                continue
            yield from walk(f"{name}.{child}" if name else child, found)

    return walk("", block)
