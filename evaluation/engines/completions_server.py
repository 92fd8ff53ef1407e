"""A vLLM server's own words: completions, adapters, what it serves. All that goes over HTTP goes here."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import requests

from surgery.errors import InputError

# The variable that holds the key of a server that asks for one; a config never does.
KEY = "SURGERY_ENGINE_KEY"
# Seconds. A batch may wait behind those of other cells; a server that has died refuses the connection at once.
CONNECTING, ANSWERING = 10.0, 1800.0


class ServerLost(Exception):
    """The server does not answer, or says that it can't any more: another may. The argument says what happened."""


@dataclass(frozen=True)
class CompletionsServer:
    """An OpenAI-compatible server as vLLM has it.

    Attributes:
        url: where it listens, without a path: `http://127.0.0.1:8000`.
        key: that it asks for; no config and no record holds one.
    """

    url: str
    key: str | None = field(default=None, repr=False)

    @classmethod
    def of_user(cls, url: str) -> Self:
        """A server that a person names, with the key of the environment."""
        return cls(url, os.environ.get(KEY))

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise InputError(
                f"engine.url={_without_key(self.url)} is no address of a server; it is http://HOST:PORT or "
                f"https://HOST, and a key is taken from {KEY}"
            )

    def version(self) -> str:
        """vLLM's; raises InputError where something else answers, ServerLost where nothing does."""
        found = self._ask("get", "/version")
        version = found.get("version") if isinstance(found, Mapping) else None
        if not isinstance(version, str):
            raise InputError(f"what answers at engine.url={self.url} is no vLLM server: it tells no version")
        return version

    def alive(self) -> bool:
        """Whether it answers, and can compute."""
        try:
            self._ask("get", "/health", answering=CONNECTING)
        except ServerLost:
            return False
        return True

    def base(self) -> Mapping[str, Any]:
        """The model that adapters are put on: its `id` and `max_model_len`, among others."""
        found: list[Mapping[str, Any]] = self._ask("get", "/v1/models")["data"]
        return next(model for model in found if not model.get("parent"))

    def complete(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to a request for completions.

        Raises:
            InputError: when the server refuses what is asked.
            ServerLost: when it does not answer.
        """
        found: Mapping[str, Any] = self._ask("post", "/v1/completions", payload)
        return found

    def load(self, name: str, folder: str) -> None:
        """Has it load an adapter, which it reads from its own file system; raises as `complete` does."""
        self._ask("post", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": folder})

    def unload(self, name: str) -> None:
        """Has it forget an adapter."""
        self._ask("post", "/v1/unload_lora_adapter", {"lora_name": name})

    def _ask(self, method: str, path: str, payload: Any = None, answering: float = ANSWERING) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            address = self.url.rstrip("/") + path
            answer = requests.request(method, address, json=payload, headers=headers, timeout=(CONNECTING, answering))
        except requests.RequestException as error:
            raise ServerLost(f"the server at {self.url} does not answer ({type(error).__name__})") from error
        said = " ".join(answer.text[:300].split())
        if answer.status_code >= 500:
            raise ServerLost(f"the server at {self.url} failed ({answer.status_code}: {said})")
        if answer.status_code in (401, 403):
            raise InputError(f"the server at {self.url} refuses the key; put the right one into {KEY}")
        if answer.status_code == 404 and path == "/v1/completions":
            # It was there: another server has taken the place of the one that held it.
            raise ServerLost(f"the server at {self.url} does not serve what it did ({said})")
        if answer.status_code == 404 and '"detail"' in said:
            raise InputError(
                f"the server at {self.url} has no {path}; it has to be a vLLM server, started with --enable-lora and "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"
            )
        if answer.status_code >= 400:
            raise InputError(f"the server at {self.url} refuses {path} ({answer.status_code}: {said})")
        return answer.json() if "json" in answer.headers.get("Content-Type", "") else answer.text


def _without_key(url: str) -> str:
    """An address without what stands before an @, which may be a password."""
    return url.rpartition("@")[2]
