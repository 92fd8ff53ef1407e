"""Methods by name, and what each needs: known before anything heavy is imported."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

# What a method that trains may be told, by gradients or of the weights that it prunes.
NUMBERS = ("lr", "epochs", "batch_size", "rank", "beta", "behavior_share", "utility_share")
FINE_TUNING = ("lr", "epochs", "batch_size", "rank")


@dataclass(frozen=True)
class Needs:
    """What a method looks at.

    Attributes:
        region: it edits the rows of a region; others know no `region` and no `top_k`.
        probe: a probe decides what it does to the model; fine-tuning looks at the texts alone.
        numbers: those of NUMBERS that it takes; what a method that takes any finds is kept for all alphas.
        pairs: it trains on pairs of texts, which `method.pairs` may name.
        library: that it needs and that comes with an extra of ours: (library, extra).
    """

    region: bool = False
    probe: bool = True
    numbers: tuple[str, ...] = ()
    pairs: bool = False
    library: tuple[str, str] | None = None


# Each is a file of this name in `sweeps/methods/`.
METHODS: Mapping[str, Needs] = {
    "surgery": Needs(region=True),
    "feature_subtraction": Needs(),
    "activation_addition": Needs(),
    "directional_ablation": Needs(),
    "gradient_ascent": Needs(numbers=("lr", "epochs", "batch_size")),
    "lora": Needs(probe=False, numbers=FINE_TUNING),
    "task_vector": Needs(probe=False, numbers=FINE_TUNING),
    "sft": Needs(probe=False, numbers=FINE_TUNING, pairs=True, library=("trl", "train")),
    "dpo": Needs(probe=False, numbers=(*FINE_TUNING, "beta"), pairs=True, library=("trl", "train")),
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
    return _module(f"sweeps.methods.{name}" if name in METHODS else name)


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
