"""The keys of one experiment as they were given, each valid by itself."""

from collections.abc import Mapping
from dataclasses import asdict, field, is_dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PositiveInt
from pydantic.dataclasses import dataclass

from surgery.changes.alpha import require_alpha
from surgery.states.pooled_tokens import Pooling
from surgery.tokens.chat import DEFAULT_DATE, require_date
from surgery.tokens.framing import Framing
from surgery.tokens.thinking import NO_THOUGHTS, Thinking
from sweeps.cell.kernel import Kernel
from sweeps.cell.method import KERNELS, NUMBERS, Needs, known_method, method_needs

# The keys of `model` that say how it is loaded, as `surgery.load_model` calls them too.
LOADING = ("path", "revision", "gguf", "dtype", "device", "trust_remote_code", "date")
# Those that say what its chat template is given beside the turns.
FRAMING = ("system", "thinking", "thought")
# Those that an exported adapter tells of its base; whose code may run, and where, is for who loads it to say.
TOLD_OF_BASE = ("revision", "dtype", "date")

STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


Share = Annotated[float, Field(gt=0, lt=1)]
# As a table or a config file writes it; None is an empty cell.
Label = str | int | float | bool | None


# YAML takes an `off` without quotation marks for false.
ThinkingMode = Annotated[
    Literal["off", "strip", "keep"] | None, BeforeValidator(lambda given: "off" if given is False else given)
]


@dataclass(frozen=True, config=STRICT)
class ThoughtSettings:
    """How the model marks its thoughts, and is asked for none; see `surgery.tokens.thinking.Thinking`."""

    begin: Annotated[str, Field(min_length=1)] = "<think>"
    end: Annotated[str, Field(min_length=1)] = "</think>"
    arguments: Annotated[dict[str, Any], Field(min_length=1)] = field(default_factory=lambda: dict(NO_THOUGHTS))
    empty: Annotated[str, Field(min_length=1)] | None = None


@dataclass(frozen=True, config=STRICT)
class ModelSettings:
    """Which model, and how it is loaded. `path`, `gguf`, `revision`, `device` and `name` are not part of what it is."""

    name: str
    path: str
    revision: str | None
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    device: str | dict[str, Any]
    chat: bool
    top_k: PositiveInt | None
    trust_remote_code: bool
    checksums: str | None
    date: Annotated[str, AfterValidator(require_date)] = DEFAULT_DATE
    gguf: str | None = None
    system: str | None = None
    thinking: ThinkingMode = None
    thought: ThoughtSettings = field(default_factory=ThoughtSettings)

    def loading(self) -> dict[str, Any]:
        """What `surgery.load_model` takes of it."""
        return {name: getattr(self, name) for name in LOADING}

    def framing(self) -> Framing:
        """What its chat template is given beside the turns."""
        return framing(self.system, self.thinking, asdict(self.thought))


def framing(
    system: str | None = None,
    thinking: Literal["off", "strip", "keep"] | None = None,
    thought: Mapping[str, Any] | None = None,
) -> Framing:
    """What the keys of FRAMING mean, as settings or a recorded config have them."""
    if thinking is None or thinking == "keep":
        return Framing(system)
    return Framing(system, Thinking(thinking, **(thought or {})))


def framing_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """What `framing` takes, of a recorded config; empty where nothing is set."""
    model = config.get("model") or {}
    found = {name: value for name in FRAMING if (value := model.get(name)) is not None}
    return found if framing(**found).identity() else {}


@dataclass(frozen=True, config=STRICT)
class BehaviorSettings:
    """Which labelled texts, and which of their labels to move away from."""

    name: str
    path: str
    source: str | None
    text: str | int | list[str]
    label: str | int | list[str] | None
    labels: dict[str, list[Label]]
    separator: str | None
    columns: list[str]
    avoid: list[Label]
    against: list[Label]
    balance: bool
    chat: bool
    pooling: Pooling
    max_length: PositiveInt
    limit: PositiveInt | None
    checksums: str | None
    preset: dict[str, Any]


@dataclass(frozen=True, config=STRICT)
class ProbeSettings:
    """How the probe is fitted; the numbers of `adam` are unset for methods that have none."""

    method: Literal["adam", "logistic", "mean_difference", "random", "file"]
    test_share: Share
    lr: Annotated[float, Field(gt=0)] | None = None
    epochs: PositiveInt | None = None
    batch_size: PositiveInt | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    path: str | None = None

    def identity(self) -> dict[str, Any]:
        """All but the path, whose content counts."""
        return {name: value for name, value in asdict(self).items() if name != "path"}


@dataclass(frozen=True, config=STRICT)
class RegionSettings:
    """Which rows are chosen."""

    rule: Literal["lowest", "highest", "random"]
    component: Literal["gate_proj", "up_proj", "down_proj", "q_proj", "k_proj", "v_proj", "o_proj"]
    layers: list[PositiveInt] | None
    exclude_quarter: Literal[1, 2, 3, 4] | None
    per_layer: bool


@dataclass(frozen=True, config=STRICT)
class MethodSettings:
    """What is done to the model; each setting is unset for methods that do not take it.

    Attributes:
        layers: those that are edited; None for the method's own choice.
    """

    name: Annotated[str, AfterValidator(known_method)]
    lr: Annotated[float, Field(gt=0)] | None = None
    epochs: PositiveInt | None = None
    batch_size: PositiveInt | None = None
    rank: PositiveInt | None = None
    beta: Annotated[float, Field(gt=0)] | None = None
    behavior_share: Share | None = None
    utility_share: Share | None = None
    attention: Kernel | None = None
    mlp: Kernel | None = None
    layers: list[PositiveInt] | None = None
    pairs: str | None = None
    system: str | None = None

    def __post_init__(self) -> None:
        if self.layers is not None and self.needs.layers is None:
            raise ValueError(f"layers is no setting of method={self.name}")
        for name in (*NUMBERS, *KERNELS):
            if (getattr(self, name) is not None) != (name in self.needs.numbers):
                needed = "needed by" if name in self.needs.numbers else "no setting of"
                raise ValueError(f"{name} is {needed} method={self.name}")
        if (self.system is not None) != self.needs.system:
            raise ValueError(f"system is {'needed by' if self.needs.system else 'no setting of'} method={self.name}")
        if self.pairs is not None and not self.needs.pairs:
            raise ValueError(f"pairs is no setting of method={self.name}")

    @property
    def needs(self) -> Needs:
        """What the method looks at."""
        return method_needs(self.name)

    def numbers(self) -> dict[str, Any]:
        """The numbers that it takes, of a kernel four by name."""
        values = {name: getattr(self, name) for name in self.needs.numbers}
        return {name: asdict(value) if is_dataclass(value) else value for name, value in values.items()}  # type: ignore[arg-type]

    def told(self) -> dict[str, Any]:
        """What is set of it beside its name."""
        return self.numbers() | ({"system": self.system} if self.needs.system else {})

    def identity(self) -> str | dict[str, Any]:
        """Its name, and what is set of it; `layers` is told by the cell, as numbers of the model."""
        return {"name": self.name, **self.told()} if self.told() else self.name


@dataclass(frozen=True, config=STRICT)
class EngineSettings:
    """What computes the model's answers. Where it is, and how many edits it takes at once, is not part of what it is.

    Attributes:
        url: of a vLLM server that runs.
        python: of an environment that a server is started from.
        max_loras: edits that are computed in one batch.
        max_lora_rank: the highest rank of an edit.
        arguments: more of vLLM's own for a server that is started: they may change what it computes.
        batching: how the model in memory generates: in batches that are padded, or so that an answer which has ended
            makes room for the next prompt. A server has its own way.
    """

    name: Literal["transformers", "vllm"] = "transformers"
    batching: Literal["static", "continuous"] = "static"
    url: str | None = None
    python: str | None = None
    max_loras: PositiveInt = 4
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] = 16
    arguments: list[str | int | float] = field(default_factory=list)

    @property
    def served(self) -> bool:
        """Whether a server computes them."""
        return self.name == "vllm"


@dataclass(frozen=True, config=STRICT)
class Settings:
    """The keys of one experiment as they were given: valid one by one, not yet held against model and texts."""

    model: ModelSettings
    behavior: BehaviorSettings
    probe: ProbeSettings
    region: RegionSettings
    method: MethodSettings
    layer: PositiveInt | Share | Literal["first", "middle", "last_but_one", "last"]
    top_k: PositiveInt | Share | None
    alpha: Annotated[float, AfterValidator(require_alpha)]
    alpha_unit: Literal["raw", "unit"]
    seed: Annotated[int, Field(ge=0)]
    composition: list[str] = field(default_factory=list)
    engine: EngineSettings = field(default_factory=EngineSettings)
