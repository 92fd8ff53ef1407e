"""A base model whose answers a server computes: what of it is here, and the server, found or started."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch
from filelock import FileLock
from transformers import GenerationConfig

from evaluation.engines.completions_server import CompletionsServer
from evaluation.engines.served import Served
from surgery.model.model_files import model_folder, skeleton
from surgery.model.model_identity import GENERATION
from surgery.tokens.encoding import longest_input, padding_id
from surgery.tokens.framing import note_tokenizer, set_framing
from surgery.tokens.tokenizer import load_tokenizer
from sweeps.cell.canonical_json import canonical_json
from sweeps.cell.cell import Cell
from sweeps.cell.settings import EngineSettings, ModelSettings
from sweeps.serving.shared_server import ServerSpec, SharedServer, own_folder
from sweeps.serving.this_node import this_node

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class ServedBase:
    """One base model for the cells of a process.

    Args:
        model, engine: which, and what serves it.
        fingerprint: of the model.
        version: of the engine.
        say: told what takes long.
    """

    def __init__(
        self, model: ModelSettings, engine: EngineSettings, fingerprint: str, version: str, say: Callable[[str], None]
    ) -> None:
        self._model, self._engine = model, engine
        self._fingerprint, self._version = fingerprint, version
        self._say = say
        self._shared: SharedServer | None = None

    @classmethod
    def of(cls, cell: Cell, say: Callable[[str], None]) -> Self:
        """That of a cell."""
        settings = cell.settings
        return cls(settings.model, settings.engine, cell.model_fingerprint, str(cell.engine_version), say)

    @cached_property
    def folder(self) -> Path:
        """Of the base."""
        return model_folder(self._model.path, self._model.revision)

    @cached_property
    def shapes(self) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
        """The model without its weights, and its tokenizer, framed: all that evaluators look at beside answers."""
        model = skeleton(self.folder, self._model.trust_remote_code)
        if (self.folder / GENERATION).is_file():
            model.generation_config = GenerationConfig.from_pretrained(self.folder)
        tokenizer = load_tokenizer(
            self.folder, self._model.path, trust_remote_code=self._model.trust_remote_code, date=self._model.date
        )
        if tokenizer.pad_token_id != (pad := padding_id(model, tokenizer)):
            tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)
        note_tokenizer(model, tokenizer)
        set_framing(tokenizer, self._model.framing())
        return model, tokenizer

    @property
    def dtype(self) -> str:
        """Of the weights, as the model in memory would have them."""
        own = self.shapes[0].config.dtype or torch.float32
        return str(own).removeprefix("torch.") if self._model.dtype == "auto" else self._model.dtype

    def server(self, logs: Path) -> CompletionsServer:
        """The server that the user names, or one that is started.

        Args:
            logs: folder where what a server that is started prints is kept.

        Raises:
            InputError: when it can't be had.
            ServerLost: when the one that the user names does not answer.
        """
        if self._engine.url is not None:
            return CompletionsServer.of_user(self._engine.url)
        if self._shared is None:
            engine = self._engine
            spec = ServerSpec(
                python=str(engine.python),
                model=str(self.folder.absolute()),
                fingerprint=self._fingerprint,
                dtype=self.dtype,
                longest=longest_input(self.shapes[0]),
                max_loras=engine.max_loras,
                max_lora_rank=engine.max_lora_rank,
                arguments=tuple(map(str, engine.arguments)),
            )
            self._shared = SharedServer(spec, self._say)
        return self._shared.at(logs)

    def served(self, server: CompletionsServer, name: str | None = None) -> Served:
        """An adapter by its name, or the base, as an engine."""
        return Served(server, name or str(server.base()["id"]), *self.shapes, self._version)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """For the body of a `with` no other process of this node has the base in memory: one at a time does."""
        with FileLock(own_folder(Path(tempfile.gettempdir())) / f"{self._fingerprint}-{this_node()}.lock"):
            yield

    def close(self) -> None:
        """Lets go of the server."""
        if self._shared is not None:
            self._shared.close()


class ServedBases:
    """The bases of a process; the last one stays, with its server.

    Args:
        say: told what takes long.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last: tuple[str, ServedBase] | None = None

    def of(self, cell: Cell) -> ServedBase | None:
        """That of a cell; None where the model in memory answers."""
        settings = cell.settings
        if not settings.engine.served:
            return None
        key = canonical_json([cell.model_fingerprint, str(settings.model), str(settings.engine)])
        if self._last is None or self._last[0] != key:
            if self._last is not None:
                self._last[1].close()
            self._last = (key, ServedBase.of(cell, self._say))
        return self._last[1]
