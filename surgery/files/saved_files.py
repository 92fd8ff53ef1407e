"""Whether the files of a saved model are what they are named, found out without torch and without the weights."""

import json
from pathlib import Path

from surgery.errors import InputError

# What a file of Git LFS holds until it is fetched.
POINTER = b"version https://git-lfs"
# What transformers and the tokenizers read beside the weights.
READ = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "chat_template.json", "model.safetensors.index.json"),
    *("tokenizer.model", "spiece.model", "merges.txt", "vocab.txt", "chat_template.jinja"),
)
# A tokenizer.json of more bytes is looked at from both ends, since reading it takes part of a second.
WHOLE = 8_000_000
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


def require_saved_model(folder: Path, told: str) -> None:
    """Holds the small files of a model's folder against what they have to be.

    Args:
        folder: of a model, here or in the hub's cache.
        told: what it was given as, for the sentence: `model.path 'x'`, say.

    Raises:
        InputError: when there is no config, a file is a pointer, empty, cut off or no JSON, or an adapter lies there.
    """
    try:
        _require_config(folder, told)
        for name in READ:
            if (folder / name).is_file():
                _require_whole(folder / name, told)
    except OSError as error:
        name = Path(str(error.filename or folder)).name
        raise InputError(f"{told}: '{name}' can't be read ({error.strerror}); let this user read it") from None


def require_no_pointer(path: Path, told: str) -> None:
    """Raises InputError for an empty file, and for one that Git LFS has not fetched yet."""
    with open(path, "rb") as file:
        begins = file.read(len(POINTER))
    if begins == POINTER:
        raise InputError(
            f"{told}: '{path.name}' is a Git LFS pointer, not the file itself; run 'git lfs pull' in '{path.parent}', "
            "or download the file again"
        )
    if not begins:
        raise InputError(f"{told}: '{path.name}' is empty; download or save the model again")


def _require_config(folder: Path, told: str) -> None:
    adapter = folder / ADAPTER_CONFIG
    weights = next((name for name in ADAPTER_WEIGHTS if (folder / name).is_file()), None)
    if not (folder / "config.json").is_file():
        if adapter.is_file() or weights:
            base = _base_of(adapter)
            raise InputError(
                f"{told} is an adapter{f' for {base!r}' if base else ''}, not a model; give the model it is for, or "
                "merge them first (merge_and_unload, then save_pretrained)"
            )
        only = ", only a tokenizer" if (folder / "tokenizer_config.json").is_file() else ""
        raise InputError(f"{told} holds no config.json{only}, so it is not a saved model; name the folder that has one")
    if adapter.is_file() or weights:
        found = ADAPTER_CONFIG if adapter.is_file() else weights
        raise InputError(
            f"{told} holds an adapter ({found}) beside a model, and which of the two is meant can't be told; move the "
            "adapter to a folder of its own, or merge it into the model"
        )


def _base_of(adapter: Path) -> str:
    try:
        return str(json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"] or "")
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _require_whole(path: Path, told: str) -> None:
    require_no_pointer(path, told)
    if path.suffix != ".json":
        return
    again = "it may be cut off; download or save the model again"
    try:
        if path.stat().st_size > WHOLE:
            with open(path, "rb") as file:
                file.seek(-64, 2)
                if not file.read().rstrip().endswith(b"}"):
                    raise InputError(f"{told}: '{path.name}' ends in the middle; {again}")
            return
        found = json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise InputError(f"{told}: '{path.name}' is no JSON ({error.msg} in line {error.lineno}); {again}") from None
    except (UnicodeDecodeError, RecursionError):
        raise InputError(f"{told}: '{path.name}' is no JSON in UTF-8; {again}") from None
    if not isinstance(found, dict):
        raise InputError(f"{told}: '{path.name}' holds no {{...}} of settings; {again}")
