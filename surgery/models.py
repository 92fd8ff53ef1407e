"""Models and tokenizers from a folder, a GGUF file or a hub name."""

from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any
from weakref import finalize

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from surgery.errors import InputError
from surgery.fingerprints import note_fingerprint, note_source
from surgery.gguf_place import gguf_of, told
from surgery.model_files import model_folder
from surgery.quantisation import unpacking

DTYPES = ("auto", "float32", "bfloat16", "float16")


def _placement(device: str | dict[str, Any]) -> str | dict[str, Any]:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if isinstance(device, str) and device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"model.device={device}, but no CUDA device is here; use model.device=cpu or auto")
    return device


def load_model(
    path: str,
    *,
    revision: str | None = None,
    gguf: str | None = None,
    dtype: str = "auto",
    device: str | dict[str, Any] = "auto",
    trust_remote_code: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a causal language model, in evaluation mode and without gradients, and its tokenizer.

    Weights kept as MXFP4 or FP8 are unpacked. What a device map sends to `disk` is kept in a temporary folder, if it
    can't be read from the model's own files, as long as the model lives.

    Args:
        path: folder, GGUF file, or hub name.
        revision: branch, tag or commit, for a hub name.
        gguf: name of a GGUF file in the folder or repository.
        dtype: `auto` (as saved; bfloat16 for a GGUF file of blocks), `float32`, `bfloat16` or `float16`.
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, or an accelerate device map
            (`balanced`, `sequential` or a dict from module to device, `cpu` and `disk` among them).
        trust_remote_code: run Python that comes with the model.

    Raises:
        InputError: when the model isn't there, can't be read or is quantised in another way, or the device isn't here.
    """
    if dtype not in DTYPES:
        raise InputError(f"model.dtype={dtype} is unknown; it is one of {', '.join(DTYPES)}")
    placement = _placement(device)
    if (file := gguf_of(path, gguf, revision)) is not None:
        from surgery.gguf_model import load_gguf

        given = told(path, gguf)
        model, tokenizer, missing = load_gguf(file, given, dtype, placement)
        _make_ready(model, tokenizer, given, missing)
        note_fingerprint(model, file.fingerprint)
        return model, tokenizer
    folder = model_folder(path, revision)
    offloaded = TemporaryDirectory(prefix="offloaded-")
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
        unpacked = unpacking(config, path)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            device_map=placement,
            offload_folder=offloaded.name,
            **unpacked,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except (ValueError, OSError, KeyError, ImportError, SafetensorError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"model.path '{path}' can't be loaded: {reason}") from None
    model, loading = loaded
    finalize(model, offloaded.cleanup)
    _make_ready(model, tokenizer, f"model.path '{path}'", sorted(loading["missing_keys"]))
    note_source(model, folder, trust_remote_code)
    return model, tokenizer


def _make_ready(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, given: str, missing: Sequence[str]) -> None:
    if missing:
        # transformers would fill them with random numbers and go on.
        raise InputError(f"{given} lacks {len(missing)} of its weights, {missing[0]} among them")
    if tokenizer.pad_token_id is None:
        # Padding is always masked, so which token pads is of no account.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    model.eval().requires_grad_(False)
