"""Models and tokenizers from a folder, a GGUF file or a hub name."""

from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from surgery.errors import InputError
from surgery.files.gguf_place import gguf_of, told
from surgery.from_gguf.gguf_model import load_gguf
from surgery.model.digest_cache import Keep, keep_in_process
from surgery.model.fingerprints import note_source, note_weights
from surgery.model.gguf_identity import gguf_weights
from surgery.model.model_files import model_folder
from surgery.model.weights import load_weights, make_ready
from surgery.tokens.chat import DEFAULT_DATE
from surgery.tokens.encoding import padding_id
from surgery.tokens.framing import note_tokenizer
from surgery.tokens.tokenizer import load_tokenizer

DTYPES = ("auto", "float32", "bfloat16", "float16")
# Device maps that accelerate makes by itself, of what there is.
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


def require_device(device: str | dict[str, Any]) -> None:
    """Refuses a device, or a device map with one, that this process does not have.

    Raises:
        InputError: which says what there is.
    """
    for place in device.values() if isinstance(device, dict) else [device]:
        if place not in (*DEVICE_MAPS, "disk"):
            _require_place(place)


def _require_place(place: object) -> None:
    try:
        # A bare number is a GPU's, as in accelerate's device maps.
        named = torch.device("cuda", place) if type(place) is int else torch.device(place)  # type: ignore[call-overload]
    except (RuntimeError, TypeError):
        raise InputError(
            f"model.device={place} is no device; it is auto, cpu, cuda, cuda:1 or a device map "
            f"({', '.join(DEVICE_MAPS[1:])}, or which module is where)"
        ) from None
    if named.type == "cpu":
        return
    if named.type == "mps":
        raise InputError(
            f"model.device={place}: Apple's GPUs have no float64, which losses and the size of an edit are summed in; "
            "use model.device=cpu"
        )
    there, kind = _count(named.type), named.type.upper()
    if not there:
        raise InputError(f"model.device={place}, but no {kind} device is here; use model.device=cpu or auto")
    if (named.index or 0) >= there:
        known = f"{named.type}:0" if there == 1 else f"{named.type}:0 to {named.type}:{there - 1}"
        raise InputError(f"model.device={place}, but of {kind} devices there is here {known}")


def _count(kind: str) -> int:
    """How many devices of a kind torch finds."""
    try:
        module = torch.get_device_module(kind)
        return int(module.device_count()) if module.is_available() else 0
    except (RuntimeError, AttributeError):
        return 0  # such as meta, which holds no values


def _placement(device: str | dict[str, Any]) -> str | dict[str, Any]:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    require_device(device)
    return device


def load_model(
    path: str,
    *,
    revision: str | None = None,
    gguf: str | None = None,
    dtype: str = "auto",
    device: str | dict[str, Any] = "auto",
    trust_remote_code: bool = False,
    date: str = DEFAULT_DATE,
    keep: Keep = keep_in_process,
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
        date: the day that the chat template is rendered on, YEAR-MONTH-DAY.
        keep: where the digest of the folder's weights is kept, see `surgery.model.digest_cache`.

    Raises:
        InputError: when the model isn't there, can't be read or is quantised in another way, or the device isn't here.
    """
    if dtype not in DTYPES:
        raise InputError(f"model.dtype={dtype} is unknown; it is one of {', '.join(DTYPES)}")
    placement = _placement(device)
    if (file := gguf_of(path, gguf, revision)) is not None:
        given = told(path, gguf)
        model, tokenizer, missing = load_gguf(file, given, dtype, placement, date)
        make_ready(model, given, missing)
        note_weights(model, gguf_weights(file, keep))
    else:
        folder = model_folder(path, revision)
        tokenizer = load_tokenizer(folder, path, trust_remote_code=trust_remote_code, date=date)
        model = load_weights(folder, path, dtype, placement, trust_remote_code)
        note_source(model, folder, as_saved=dtype == "auto", trust_remote_code=trust_remote_code, keep=keep)
    if tokenizer.pad_token_id != (pad := padding_id(model, tokenizer)):
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)
    note_tokenizer(model, tokenizer)
    return model, tokenizer
