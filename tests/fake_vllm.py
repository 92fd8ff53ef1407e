"""A small server that speaks as vLLM does and computes with transformers: `python fake_vllm.py --model FOLDER ...`.

It takes vLLM's own arguments and leaves alone what it does not know. What is asked wrong of it is told in JSON.
"""

import argparse
import json
import os
import signal
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

VERSION = "0.32.0"


class FakeVllm:
    """The base and its adapters.

    Attributes:
        deaf: adapters are said to be loaded, and the base answers.
        doubled: adapters count twice.
        loaded, asked: names of adapters in the order they were loaded; how often completions were asked for.
    """

    def __init__(self, folder: str | Path, key: str | None = None) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.key, self.adapters, self.lock = key, dict[str, dict[str, torch.Tensor]](), Lock()
        self.deaf = self.doubled = False
        self.loaded: list[str] = []
        self.asked = 0

    @contextmanager
    def served(self, port: int = 0) -> Any:
        """Its address, while a body runs."""
        handler = type("Handler", (_Handler,), {"fake": self})
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()

    def load(self, name: str, path: str) -> None:
        self.loaded.append(name)
        self.adapters[name] = {} if self.deaf else load_file(Path(path) / "adapter_model.safetensors")

    @contextmanager
    def _under(self, name: str) -> Any:
        weights = dict(self.model.named_parameters())
        kept = {}
        for key, a in self.adapters.get(name, {}).items():
            if key.endswith("lora_A.weight"):
                b = self.adapters[name][key.replace("lora_A", "lora_B")]
                weight = weights[key.removeprefix("base_model.model.").replace(".lora_A", "")]
                kept[weight] = weight.data.clone()
                weight.data += (2 if self.doubled else 1) * (b @ a)
        try:
            yield
        finally:
            for weight, values in kept.items():
                weight.data = values

    @torch.no_grad()
    def complete(self, asked: dict[str, Any]) -> dict[str, Any]:
        prompts = asked["prompt"]
        prompts = [prompts] if isinstance(prompts[0], int) else prompts
        with self.lock, self._under(asked["model"]):
            self.asked += 1
            # The first of its like dies in the middle of a sweep, where that is asked for.
            if self.asked == 6 and (died := os.environ.get("FAKE_VLLM_DIES_ONCE")) and not Path(died).exists():
                Path(died).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return {"choices": [self._choice(i, ids, asked) for i, ids in enumerate(prompts)]}

    def _choice(self, index: int, ids: list[int], asked: dict[str, Any]) -> dict[str, Any]:
        new: list[int] = []
        generator = torch.Generator().manual_seed(asked.get("seed", 0))
        for _ in range(asked["max_tokens"]):
            logits = self.model(torch.tensor([ids + new])).logits[0, -1]
            if asked.get("temperature", 1.0):
                probabilities = torch.softmax(logits / asked["temperature"], -1)
                new.append(int(torch.multinomial(probabilities, 1, generator=generator)))
            else:
                new.append(int(logits.argmax()))
            if new[-1] in asked.get("stop_token_ids", []):
                break
        choice: dict[str, Any] = {"index": index, "token_ids": new if asked.get("return_token_ids") else None}
        likelihoods = torch.log_softmax(self.model(torch.tensor([ids])).logits[0], -1)[:-1]
        own = [float(row[token]) for row, token in zip(likelihoods, ids[1:], strict=True)]
        if "prompt_logprobs" in asked:
            told = [{str(token): {"logprob": one}} for token, one in zip(ids[1:], own, strict=True)]
            choice["prompt_logprobs"] = [None, *told]
        if asked.get("echo"):
            best = [{f"token_id:{int(row.argmax())}": float(row.max())} for row in likelihoods]
            top = [one | {f"token_id:{token}": p} for one, token, p in zip(best, ids[1:], own, strict=True)]
            choice["logprobs"] = {"token_logprobs": [None, *own, 0.0], "top_logprobs": [None, *top, {}]}
        return choice


class _Handler(BaseHTTPRequestHandler):
    fake: FakeVllm

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        said: Any = {"/version": {"version": VERSION}, "/health": {}}.get(self.path)
        if self.path == "/v1/models":
            said = {"data": [{"id": "base", "parent": None, "max_model_len": 65}]}
        self._say(200, said)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fake = self.fake
        if fake.key and self.headers.get("Authorization") != f"Bearer {fake.key}":
            return self._say(401, {"error": "the key"})
        if self.path == "/v1/load_lora_adapter":
            fake.load(asked["lora_name"], asked["lora_path"])
            return self._say(200, "Success")
        if self.path == "/v1/unload_lora_adapter":
            del fake.adapters[asked["lora_name"]]
            return self._say(200, "Success")
        if asked["model"] not in ("base", *fake.adapters):
            return self._say(404, {"error": {"message": f"The model `{asked['model']}` does not exist."}})
        if len(asked["prompt"][0]) + asked["max_tokens"] > 65:
            return self._say(400, {"error": {"message": "This model's maximum context length is 65 tokens."}})
        return self._say(200, fake.complete(asked))

    def _say(self, status: int, said: Any) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--port", type=int)
    known, _ = parser.parse_known_args()
    torch.set_num_threads(1)
    with FakeVllm(known.model, os.environ.get("VLLM_API_KEY")).served(known.port):
        signal.pause()


if __name__ == "__main__":
    main()
