"""The keys of one experiment as they were given, each valid by itself."""

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, PositiveInt
from pydantic.dataclasses import dataclass

from surgery.changes.alpha import require_alpha
from surgery.tokens.chat import DEFAULT_DATE, require_date
from sweeps.cell.method import NUMBERS, Needs, known_method, method_needs

# The keys of `model` that say how it is loaded, as `surgery.load_model` calls them too.
LOADING = ("path", "revision", "gguf", "dtype", "device", "trust_remote_code", "date")
# Those that an exported adapter tells of its base; whose code may run, and where, is for who loads it to say.
TOLD_OF_BASE = ("revision", "dtype", "date")

STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


Share = Annotated[float, Field(gt=0, lt=1)]
# As a table or a config file writes it; None is an empty cell.
Label = str | int | float | bool | None


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

    def loading(self) -> dict[str, Any]:
        """What `surgery.load_model` takes of it."""
        return {name: getattr(self, name) for name in LOADING}


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
    """What is done to the model; the numbers and the pairs are of methods that train, and unset for others."""

    name: Annotated[str, AfterValidator(known_method)]
    lr: Annotated[float, Field(gt=0)] | None = None
    epochs: PositiveInt | None = None
    batch_size: PositiveInt | None = None
    rank: PositiveInt | None = None
    beta: Annotated[float, Field(gt=0)] | None = None
    behavior_share: Share | None = None
    utility_share: Share | None = None
    pairs: str | None = None

    def __post_init__(self) -> None:
        for name in NUMBERS:
            if (getattr(self, name) is not None) != (name in self.needs.numbers):
                needed = "needed by" if name in self.needs.numbers else "no setting of"
                raise ValueError(f"{name} is {needed} method={self.name}")
        if self.pairs is not None and not self.needs.pairs:
            raise ValueError(f"pairs is no setting of method={self.name}")

    @property
    def needs(self) -> Needs:
        """What the method looks at."""
        return method_needs(self.name)

    def numbers(self) -> dict[str, Any]:
        """How it trains; empty where it does not."""
        return {name: getattr(self, name) for name in self.needs.numbers}

    def identity(self) -> str | dict[str, Any]:
        """Its name, and how it trains where it does."""
        return {"name": self.name, **self.numbers()} if self.needs.numbers else self.name


@dataclass(frozen=True, config=STRICT)
class Settings:
    """The keys of one experiment as they were given: valid one by one, not yet held against model and texts."""

    model: ModelSettings
    behavior: BehaviorSettings
    probe: ProbeSettings
    region: RegionSettings
    method: MethodSettings
    layer: PositiveInt | Literal["first", "middle", "last_but_one", "last"]
    top_k: PositiveInt | None
    alpha: Annotated[float, AfterValidator(require_alpha)]
    alpha_unit: Literal["raw", "unit"]
    seed: Annotated[int, Field(ge=0)]
    composition: list[str] = field(default_factory=list)
