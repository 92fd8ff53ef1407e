"""Base and edited model side by side in the terminal."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from rich.console import Console

from surgery.errors import InputError
from surgery.offload import input_device
from sweeps.cell_model import load_cell_model
from sweeps.chain_files import applied, read_chain
from sweeps.export import cell_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Pair:
    """One model in memory, asked without and with the edit.

    Attributes:
        model, tokenizer: of the base.
        unedited, edited: contexts in which the model is the one or the other.
        chat: put prompts into the chat template.
        max_new_tokens: longest answer.
    """

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    unedited: Callable[[], AbstractContextManager[object]]
    edited: Callable[[], AbstractContextManager[object]]
    chat: bool
    max_new_tokens: int

    @classmethod
    def of_cell(cls, cell_folder: Path, max_new_tokens: int) -> "Pair":
        """The model and edit of a finished cell."""
        config, chain = cell_config(cell_folder), read_chain(cell_folder)
        model, tokenizer = load_cell_model(config)
        chat = config["model"]["chat"]
        return cls(model, tokenizer, nullcontext, lambda: applied(chain, model), chat, max_new_tokens)

    @classmethod
    def of_adapter(cls, folder: Path, max_new_tokens: int) -> "Pair":
        """An exported adapter on the base that it names."""
        from peft import PeftModel

        from surgery.fingerprints import fingerprint
        from surgery.models import load_model

        base = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
        if not base:
            raise InputError(f"'{folder}' does not name its base; ask the cell it came from")
        origin = _origin(folder)
        model, tokenizer = load_model(str(base), gguf=origin.get("gguf"))
        found = fingerprint(model)
        if origin.get("base_fingerprint") not in (None, found):
            # PEFT puts an adapter on any model its shapes fit.
            raise InputError(f"'{folder}' was made for model {origin['base_fingerprint']}, but its base is now {found}")
        adapted: Any = PeftModel.from_pretrained(model, folder)
        return cls(adapted, tokenizer, adapted.disable_adapter, nullcontext, False, max_new_tokens)

    def answer(self, prompt: str, edited: bool) -> Iterator[str]:
        """Pieces of the greedy continuation as they come."""
        with self.edited() if edited else self.unedited():
            yield from self._stream(prompt)

    def _stream(self, prompt: str) -> Iterator[str]:
        from transformers import TextIteratorStreamer

        if self.chat:
            turn = [{"role": "user", "content": prompt}]
            prompt = str(self.tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False))
        inputs = self.tokenizer(prompt, return_tensors="pt", add_special_tokens=not self.chat)
        inputs = inputs.to(input_device(self.model))
        streamer = TextIteratorStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        failures: list[BaseException] = []

        def generate() -> None:
            try:
                self.model.generate(  # type: ignore[operator]
                    input_ids=inputs["input_ids"],
                    attention_mask=inputs["attention_mask"],
                    max_new_tokens=self.max_new_tokens,
                    do_sample=False,
                    pad_token_id=self.tokenizer.pad_token_id,
                    streamer=streamer,
                )
            except BaseException as error:  # handed to the reader, which raises it
                failures.append(error)
                streamer.end()

        worker = Thread(target=generate)
        worker.start()
        try:
            yield from streamer
        finally:
            # The edit must stay until the last token is made, also when the reader stops early.
            worker.join()
        if failures:
            raise failures[0]


def _origin(folder: Path) -> dict[str, Any]:
    """What an adapter of ours says in its metadata: which model it was made for."""
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        return dict(json.loads((file.metadata() or {}).get("surgery", "{}")))


def show_answers(pair: Pair, prompt: str, to: Console) -> None:
    """Prints what base and edited model say, each as it comes."""
    for name, edited in (("base", False), ("edited", True)):
        to.print(f"[bold]{name:6}[/bold] ", end="")
        for piece in pair.answer(prompt, edited):
            # Written as text: a model's words are neither markup nor terminal codes.
            to.out("".join(c if c.isprintable() or c == "\n" else " " for c in piece), end="", highlight=False)
            to.file.flush()
        to.print()


def ask(pair: Pair, to: Console) -> None:
    """Reads prompts from the terminal until an empty line or the end of the input."""
    while True:
        try:
            prompt = to.input("[bold]prompt[/bold] ")
        except EOFError:
            return
        if not prompt.strip():
            return
        show_answers(pair, prompt, to)
