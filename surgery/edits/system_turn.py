"""A system prompt: the model is asked, and not changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from transformers import PreTrainedModel

from surgery.changes.receipt import Receipt
from surgery.edits.intervention_file import read_intervention, write_intervention
from surgery.files.whole_files import sha256_of_parts
from surgery.model.fingerprints import pop_edit, push_edit, require_base
from surgery.tokens.framing import framing_of, set_framing, tokenizer_of


@dataclass(frozen=True)
class SystemPrompt:
    """What goes through the model's chat template is given this system prompt, in place of one that it has.

    Attributes:
        text: of the prompt.
        base_fingerprint: of the model that it was tried on.
    """

    FORMAT: ClassVar[str] = "surgery.system_prompt/1"

    text: str
    base_fingerprint: str

    def __str__(self) -> str:
        return "a system prompt"

    @property
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""
        return sha256_of_parts([self.FORMAT, self.base_fingerprint, self.text])

    @contextmanager
    def applied_to(self, model: PreTrainedModel) -> Iterator[Receipt]:
        """Has the tokenizer that was loaded with the model render its chat template so, for the body of a `with`.

        Raises:
            InputError: when the model is not the one it was made for, or was not loaded by `surgery.load_model`.
        """
        base, tokenizer = require_base(model, self.base_fingerprint), tokenizer_of(model)
        before = framing_of(tokenizer)
        push_edit(model, self.fingerprint, base)
        set_framing(tokenizer, replace(before, system=self.text))
        try:
            yield Receipt({}, 0, 0.0, 0.0)
        finally:
            set_framing(tokenizer, before)
            pop_edit(model, self.fingerprint)

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all."""
        said = {"text": self.text, "base_fingerprint": self.base_fingerprint}
        write_intervention(path, self.FORMAT, {}, said, self.fingerprint)

    @classmethod
    def load(cls, path: str | Path) -> "SystemPrompt":
        """Reads what `save` wrote; raises InputError for anything else."""
        return read_intervention(path, cls.FORMAT, lambda tensors, said: cls(**said))
