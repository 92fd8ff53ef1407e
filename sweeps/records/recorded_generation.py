"""How a recorded cell's prompts were continued, so that others can be continued alike."""

from collections.abc import Iterator, Mapping
from typing import Any

from evaluation.engines.decoding import Generation
from surgery.errors import InputError
from sweeps.cell.settings import TOLD_OF_BASE, framing_keys
from sweeps.records.choice import Choice

# Of an answer where nothing was continued that could be gone by.
NEW_TOKENS = 60


def generations(value: Any) -> Iterator[Mapping[str, Any]]:
    """What says how continuations are made, wherever it stands in a config."""
    if isinstance(value, Mapping):
        if "max_new_tokens" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from generations(entry)


def as_measured(config: Mapping[str, Any], measurement: str = "", max_new_tokens: int | None = None) -> Generation:
    """Greedy continuation as a cell's measurements do it: the length, the chat template and where it stops.

    Args:
        config: of the cell.
        measurement: whose way it is, by its name below `evaluation.measurements`; empty for what the cell is chosen
            by, or else for the first that puts prompts into the chat template as `model.chat` says.
        max_new_tokens: another length.

    Raises:
        InputError: for a measurement that is not there or continues no prompts.
    """
    measurements = config["evaluation"]["measurements"]
    chat = bool(config["model"]["chat"])
    named = {name: list(generations(node)) for name, node in measurements.items() if isinstance(node, Mapping)}
    named = {name: found for name, found in named.items() if found}
    if "max_new_tokens" in measurements:
        # All of `evaluation=own` is one node, which makes measurements of these names.
        named = {"continuations": [measurements]}
    if measurement and measurement not in named:
        there = ", ".join(named) or "none that continues prompts"
        raise InputError(f"the cell has no measurement '{measurement}' that continues prompts; it has {there}")
    rule = Choice.of(config["evaluation"].get("choose"))
    chosen = measurement or (rule.metric.partition("/")[0] if rule else "")
    others = (one for one in generations(measurements) if bool(one.get("chat")) == chat)
    alone: Mapping[str, Any] = {"max_new_tokens": NEW_TOKENS, "chat": chat}
    node = named[chosen][0] if chosen in named else next(others, alone)
    return Generation(
        max_new_tokens=max_new_tokens or int(node["max_new_tokens"]),
        chat=bool(node.get("chat")),
        stop=tuple(node.get("stop") or ()),
    )


def how_asked(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What an adapter has to tell of a cell's config to be asked as the cell is."""
    generation, model = as_measured(config), config["model"]
    loaded = {name: model[name] for name in TOLD_OF_BASE if name in model}
    if model.get("gguf"):
        loaded["gguf"] = model["gguf"]
    asked = {"max_new_tokens": generation.max_new_tokens, "chat": generation.chat, "stop": list(generation.stop)}
    framed = framing_keys(config)
    return {"loaded": loaded, "asked": asked, **({"framed": framed} if framed else {})}
