"""Methods by name, and what each needs: known before anything heavy is imported."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

# What a method may be told in a number: how it trains, what it prunes, `rank` also of a subspace.
NUMBERS = ("lr", "epochs", "batch_size", "rank", "beta", "behavior_share", "utility_share")
FINE_TUNING = ("lr", "epochs", "batch_size", "rank")
# How strongly a method edits attention and MLPs over the layers.
KERNELS = ("attention", "mlp")


@dataclass(frozen=True)
class Needs:
    """What a method looks at.

    Attributes:
        region: it edits the rows of a region; others know no `region` and no `top_k`.
        components: those whose rows that region may hold; empty: any.
        probe: a probe decides what it does to the model; fine-tuning looks at the texts alone.
        numbers: those of NUMBERS, and of KERNELS, that it takes.
        layers: it takes `method.layers`; the default is the layers from this share of the depth to that one.
        probe_a_layer: each of these layers has a probe of its own.
        system: it takes a system prompt, which the chat template is given.
        pairs: it trains on pairs of texts, which `method.pairs` may name.
        library: that it needs and that comes with an extra of ours: (library, extra).
        adapter: what it does is always a LoRA, which a server can put on the base.
        room: of `sweeps/`, where a method of ours lies.
    """

    region: bool = False
    components: tuple[str, ...] = ()
    probe: bool = True
    numbers: tuple[str, ...] = ()
    layers: tuple[float, float] | None = None
    probe_a_layer: bool = False
    system: bool = False
    pairs: bool = False
    library: tuple[str, str] | None = None
    adapter: bool = False
    room: str = "methods"


MLP = ("gate_proj", "up_proj", "down_proj")

# Each is a file of this name in its room.
METHODS: Mapping[str, Needs] = {
    "surgery": Needs(region=True, adapter=True),
    "feature_subtraction": Needs(),
    "activation_addition": Needs(),
    "directional_ablation": Needs(),
    "gradient_ascent": Needs(numbers=("lr", "epochs", "batch_size")),
    "lora": Needs(probe=False, numbers=FINE_TUNING, adapter=True),
    "task_vector": Needs(probe=False, numbers=FINE_TUNING, adapter=True),
    "system_prompt": Needs(probe=False, system=True),
    "caa": Needs(layers=(1 / 3, 2 / 3), probe_a_layer=True),
    "gate_bias": Needs(region=True, components=("gate_proj",)),
    "norm_preserving_ablation": Needs(layers=(0, 1), room="closed_form"),
    "layer_weighted_ablation": Needs(numbers=KERNELS, room="closed_form"),
    "projection": Needs(probe=False, numbers=("rank",), layers=(1 / 2, 1), room="closed_form"),
    "neuron_scaling": Needs(region=True, components=MLP, room="closed_form"),
    "sft": Needs(probe=False, numbers=FINE_TUNING, pairs=True, library=("trl", "train"), adapter=True),
    "dpo": Needs(probe=False, numbers=(*FINE_TUNING, "beta"), pairs=True, library=("trl", "train"), adapter=True),
    "wanda": Needs(probe=False, numbers=("behavior_share", "utility_share")),
    "contrastive_decoding": Needs(probe=False, numbers=FINE_TUNING),
}


def method_needs(name: str) -> Needs:
    """What a method needs.

    Raises:
        ValueError: for a name that is none of METHODS and no module that is a method.
    """
    if name in METHODS:
        return METHODS[name]
    if "." not in name:
        raise ValueError(f"it is one of {', '.join(METHODS)}, or a module of your own with NEEDS and make")
    needs = getattr(_module(name), "NEEDS", None)
    if not isinstance(needs, Needs):
        raise ValueError(f"the module {name} is no method; it has to hold NEEDS, see docs/development.md")
    return needs


def method_module(name: str) -> ModuleType:
    """The module that makes a cell's intervention: it has `make(work, probe, region)`."""
    return _module(f"sweeps.{METHODS[name].room}.{name}" if name in METHODS else name)


def known_method(name: str) -> str:
    """The name, where there is such a method and what it needs is installed; else ValueError."""
    needs = method_needs(name)
    if needs.library is not None and find_spec(needs.library[0]) is None:
        library, extra = needs.library
        raise ValueError(f"it needs {library}, which is not installed; pip install 'llm-surgery[{extra}]'")
    return name


def _module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise ValueError(f"the module {name} can't be imported ({error})") from None
