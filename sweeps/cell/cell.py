"""One experiment, fully resolved and validated."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from functools import cached_property
from hashlib import sha256
from typing import Any

from pydantic.dataclasses import dataclass

from surgery.model.model_identity import ModelIdentity, chain_fingerprint
from surgery.states.pooled_tokens import POOLING
from sweeps.cell.canonical_json import canonical_json
from sweeps.cell.settings import STRICT, Settings

# Raised when the same settings would give another result than before, or what they name is known by other means:
# until 1 a model was known by a sample of its weights, and not by its config and tokenizer.
VERSION = 2


@dataclass(frozen=True, config=STRICT)
class Cell:
    """One fully resolved, validated experiment.

    Attributes:
        settings: as given.
        layer, top_k: the numbers that `last` and the like, and the default, stand for.
        model_identity: of the model that the settings name.
        texts_fingerprint, probe_fingerprint: likewise (the last for a probe from a file).
        evaluation: the identities of what is measured, by name.
        earlier: fingerprints of what its `composition` applies first, oldest first.
        layers: what `method.layers` stands for; empty where the method takes none.
        pairs_fingerprint: of the pairs of texts that `method.pairs` names.
        engine_version: of an engine that is a server; None for the library that the record names anyway.
    """

    settings: Settings
    layer: int
    top_k: int
    model_identity: ModelIdentity
    texts_fingerprint: str
    probe_fingerprint: str | None
    evaluation: Mapping[str, Any]
    earlier: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    pairs_fingerprint: str | None = None
    engine_version: str | None = None

    @cached_property
    def id(self) -> str:
        """12 hexadecimal digits of the hash of what can change the result; not of where it runs or logs."""
        return sha256(canonical_json(self.identity()).encode()).hexdigest()[:12]

    @property
    def protocol(self) -> str:
        """12 hexadecimal digits of the hash of what is measured and how; equal where results may stand in one table."""
        framing = self.settings.model.framing().measured() if self.renders_chat else {}
        measured = {**self.evaluation, **framing, **self.engine_identity()}
        return sha256(canonical_json(measured).encode()).hexdigest()[:12]

    def engine_identity(self) -> dict[str, Any]:
        """What computes the answers, by name and version; empty for the model in memory and its usual batches."""
        engine = self.settings.engine
        if not engine.served:
            return {"engine": {"name": engine.name, "batching": engine.batching}} if self.engine_told else {}
        told = {"arguments": list(map(str, engine.arguments))} if engine.arguments else {}
        return {"engine": {"name": engine.name, "version": self.engine_version, **told}}

    @property
    def engine_told(self) -> str | None:
        """`vllm 0.32.0`, `transformers (continuous batching)`; None for the model in memory and its usual batches."""
        engine = self.settings.engine
        if engine.served:
            return f"{engine.name} {self.engine_version}"
        return None if engine.batching == "static" else f"{engine.name} ({engine.batching} batching)"

    def identity(self) -> dict[str, Any]:
        """What can change the result."""
        settings = self.settings
        return {
            "version": VERSION,
            "model": [*self.model_identity.parts().values(), settings.model.dtype, settings.model.chat],
            **({"date": settings.model.date, **settings.model.framing().identity()} if self.renders_chat else {}),
            "texts": self.texts_identity(),
            **self.pooling_identity(),
            "probe": settings.probe.identity() | {"fingerprint": self.probe_fingerprint},
            **({"region": asdict(settings.region), "top_k": self.top_k} if settings.method.needs.region else {}),
            "method": settings.method.identity(),
            **({"method.layers": list(self.layers)} if self.layers else {}),
            **({"pairs": self.pairs_fingerprint} if self.pairs_fingerprint else {}),
            "layer": self.layer,
            "alpha": settings.alpha,
            "alpha_unit": settings.alpha_unit,
            "seed": settings.seed,
            "evaluation": self.evaluation,
            **({"composition": list(self.earlier)} if self.earlier else {}),
            **self.engine_identity(),
        }

    @property
    def model_fingerprint(self) -> str:
        """Of the model without what `composition` applies: what edits are held against."""
        return self.model_identity.fingerprint

    @property
    def renders_chat(self) -> bool:
        """Whether anything is put into a chat template, which may ask for the date."""
        settings = self.settings
        return settings.model.chat or settings.behavior.chat or renders_chat(self.evaluation)

    @property
    def subject_fingerprint(self) -> str:
        """Of the model that is probed and edited: the base with what `composition` applies first."""
        return chain_fingerprint(self.model_fingerprint, self.earlier)

    @property
    def read_layers(self) -> set[int]:
        """The layers whose hidden states are looked at: the probe's, and those of the method."""
        return {self.layer, *self.layers}

    @property
    def probed_layers(self) -> set[int]:
        """The layers that have a probe."""
        return self.read_layers if self.settings.method.needs.probe_a_layer else {self.layer}

    def texts_identity(self) -> list[Any]:
        """What the model is shown of the behavior: the texts, cut; in its chat template on which date and with what."""
        behavior, model = self.settings.behavior, self.settings.model
        shown = model.framing().shown()
        chat = ["chat", model.date, *([shown] if shown else [])]
        return [self.texts_fingerprint, behavior.max_length, *chat * behavior.chat]

    def pooling_identity(self) -> dict[str, Any]:
        """Over which tokens states are averaged; empty where over all."""
        pooling = self.settings.behavior.pooling
        return {} if pooling == POOLING else {"pooling": pooling}

    def keys(self) -> dict[str, Any]:
        """The keys that were composed, flat, as a person would type them: for tables and results.csv."""
        settings = self.settings
        has_region = settings.method.needs.region
        keys: dict[str, Any] = {
            "model": settings.model.name,
            "behavior": settings.behavior.name,
            "layer": self.layer,
            **({"top_k": self.top_k} if has_region else {}),
            "alpha": settings.alpha,
            "alpha_unit": settings.alpha_unit,
            "probe": settings.probe.method,
            **({"region": settings.region.rule} if has_region else {}),
            "method": settings.method.name,
            "seed": settings.seed,
            "model.dtype": settings.model.dtype,
            **({"model.date": settings.model.date} if self.renders_chat else {}),
            **({f"model.{name}": getattr(settings.model, name) for name in settings.model.framing().identity()}),
            "behavior.max_length": settings.behavior.max_length,
            "behavior.limit": settings.behavior.limit,
            **{f"behavior.{name}": value for name, value in self.pooling_identity().items()},
        }
        keys |= {f"method.{name}": value for name, value in _flat(settings.method.told())}
        if settings.method.needs.layers:
            keys["method.layers"] = ",".join(map(str, self.layers))
        if settings.method.pairs is not None:
            keys["method.pairs"] = settings.method.pairs
        if self.earlier:
            keys["composition"] = "+".join(self.earlier)
        if self.engine_told is not None:
            keys["engine"] = self.engine_told
        for group, ignored in ((settings.probe, ("method", "path")), (settings.region, ("rule",))):
            name = "probe" if group is settings.probe else "region"
            if name == "region" and not has_region:
                continue
            for one in fields(group):
                value = getattr(group, one.name)
                if one.name not in ignored and value is not None:
                    keys[f"{name}.{one.name}"] = ",".join(map(str, value)) if isinstance(value, list) else value
        return keys


def _flat(numbers: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{part}", one) for part, one in value.items())
        else:
            yield name, value


def renders_chat(evaluator: Any) -> bool:
    """Whether the identity of an evaluator, or of several, says that prompts go into the chat template."""
    return any(chat_settings(evaluator))


def chat_settings(evaluator: Any) -> Iterator[bool]:
    """Of all prompts that an evaluator's identity, or several's, tells of: whether they go into the chat template."""
    if isinstance(evaluator, Mapping):
        yield from [bool(evaluator["chat"])] if "chat" in evaluator else []
        evaluator = list(evaluator.values())
    if isinstance(evaluator, list | tuple):
        for value in evaluator:
            yield from chat_settings(value)
