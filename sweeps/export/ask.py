"""Base and edited model side by side in the terminal."""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from evaluation.engines.decoding import Generation
from evaluation.streaming import stream
from surgery.errors import InputError
from surgery.model.fingerprints import fingerprint
from surgery.model.loading import load_model
from surgery.tokens.framing import set_framing
from sweeps.cell.settings import framing
from sweeps.records.base_model import load_cell_model
from sweeps.records.chain import applied, read_chain
from sweeps.records.recorded_generation import NEW_TOKENS, as_measured
from sweeps.records.sweep import require_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Pair:
    """One model in memory, asked without and with the edit.

    Attributes:
        model, tokenizer: of the base.
        unedited, edited: contexts in which the model is the one or the other.
        generation: how prompts are continued.
    """

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    unedited: Callable[[], AbstractContextManager[object]]
    edited: Callable[[], AbstractContextManager[object]]
    generation: Generation

    @classmethod
    def of_cell(cls, cell_folder: Path, max_new_tokens: int | None, measurement: str = "") -> "Pair":
        """The model and edit of a finished cell, asked as a measurement of the cell does; see `as_measured`."""
        config, chain = require_config(cell_folder), read_chain(cell_folder)
        generation = as_measured(config, measurement, max_new_tokens)
        model, tokenizer = load_cell_model(config)
        return cls(model, tokenizer, nullcontext, lambda: applied(chain, model), generation)

    @classmethod
    def of_adapter(cls, folder: Path, max_new_tokens: int | None) -> "Pair":
        """An exported adapter on the base that it names, asked as the cell's measurements did that it came from."""
        from peft import PeftModel

        base = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
        if not base:
            raise InputError(f"'{folder}' does not name its base; ask the cell it came from")
        origin = _origin(folder)
        model, tokenizer = load_model(str(base), **origin.get("loaded", {}))
        set_framing(tokenizer, framing(**origin.get("framed", {})))
        _require_its_base(folder, origin, fingerprint(model))
        with warnings.catch_warnings():
            # Of what PEFT calls in transformers, which nobody who asks a question can do anything about.
            warnings.simplefilter("ignore", FutureWarning)
            adapted: Any = PeftModel.from_pretrained(model, folder)
        generation = Generation(**origin.get("asked", {"max_new_tokens": NEW_TOKENS}))
        if max_new_tokens is not None:
            generation = replace(generation, max_new_tokens=max_new_tokens)
        # PEFT puts its layers into the model itself.
        return cls(model, tokenizer, adapted.disable_adapter, nullcontext, generation)

    def answer(self, prompt: str, edited: bool) -> Iterator[str]:
        """Pieces of the greedy continuation as they come."""
        with self.edited() if edited else self.unedited():
            yield from stream(self.model, self.tokenizer, prompt, self.generation)


def _origin(folder: Path) -> dict[str, Any]:
    """What one of our adapters says of where it comes from; empty for another's."""
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        return dict(json.loads((file.metadata() or {}).get("surgery", "{}")))


def _require_its_base(folder: Path, origin: Mapping[str, Any], found: str) -> None:
    """PEFT puts an adapter on any model its shapes fit; ours says in its metadata which one it was made for."""
    if origin.get("base_fingerprint") not in (None, found):
        raise InputError(f"'{folder}' was made for model {origin['base_fingerprint']}, but its base is now {found}")


def show_answers(pair: Pair, prompt: str, to: Console) -> None:
    """Prints what base and edited model say, each as it comes."""
    for name, edited in (("base", False), ("edited", True)):
        to.print(f"[bold]{name:6}[/bold] ", end="")
        for piece in pair.answer(prompt, edited):
            # Written as text: a model's words are neither markup nor terminal codes.
            to.out("".join(c if c.isprintable() or c == "\n" else " " for c in piece), end="", highlight=False)
            to.file.flush()
        to.print()


def ask_each(pair: Pair, prompts: Sequence[str], to: Console) -> None:
    """Asks prompts one after another, each said before its answers."""
    for prompt in prompts:
        to.print(f"prompt {prompt}", markup=False, soft_wrap=True)
        show_answers(pair, prompt, to)


def converse(pair: Pair, to: Console) -> None:
    """Reads prompts from the terminal until an empty line or the end of the input."""
    while True:
        try:
            prompt = to.input("[bold]prompt[/bold] ")
        except EOFError:
            return
        if not prompt.strip():
            return
        show_answers(pair, prompt, to)
