"""llama.cpp itself, by the wheel xllamacpp, in a process of its own.

`python llama_cpp.py MODEL [ADAPTER]` takes prompts as JSON on stdin, each a list of tokens or a text, and prints the
tokens that follow each greedily, and how a text is cut into tokens.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

SAID = "SAID "


def llama_cpp(
    model: Path, *adapter: Path, prompts: Sequence[Any] = (), words: int = 4, texts: Sequence[str] = ()
) -> Any:
    """What llama.cpp says: {"words": [tokens after each prompt], "tokens": [tokens of each text]}."""
    ended = subprocess.run(
        [sys.executable, __file__, str(model), *map(str, adapter)],
        input=json.dumps({"prompts": list(prompts), "words": words, "texts": list(texts)}),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    said = [line for line in ended.stdout.splitlines() if line.startswith(SAID)]
    assert ended.returncode == 0 and said, f"llama.cpp failed on {model}: {ended.stdout[-500:]} {ended.stderr[-3000:]}"
    return json.loads(said[-1].removeprefix(SAID))


def _post(address: str, request: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps(request).encode()
    with urlopen(Request(address, body, {"Content-Type": "application/json"}), timeout=900) as answer:
        return dict(json.load(answer))


def main(model: str, adapter: str = "") -> None:
    import xllamacpp

    asked: dict[str, Any] = json.load(sys.stdin)
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx = 512
    params.n_gpu_layers = 0
    params.warmup = False
    # As exact as it can be, so that only the weights decide.
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cpuparams.n_threads = 2
    params.cpuparams_batch.n_threads = 2
    if adapter:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(adapter, 1.0)]
    server = xllamacpp.Server(params)
    rule = {"temperature": 0, "cache_prompt": False, "return_tokens": True, "ignore_eos": True}
    words = [
        _post(f"{server.listening_address}/completion", {"prompt": prompt, "n_predict": asked["words"], **rule})[
            "tokens"
        ]
        for prompt in asked["prompts"]
    ]
    tokens = [
        _post(f"{server.listening_address}/tokenize", {"content": text, "add_special": True})["tokens"]
        for text in asked["texts"]
    ]
    print(SAID + json.dumps({"words": words, "tokens": tokens}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
